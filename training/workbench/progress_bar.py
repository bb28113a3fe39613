"""Show the progress of work that takes longer than two seconds: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

LINE_SECONDS = 60.0
"""A log gets one line per stage and minute, and none for a stage that ends sooner."""


def progress_bar(steps: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """Yield the same steps, and show how many are done, the rate and the time left on standard error."""
    if not sys.stderr.isatty():
        return _with_lines(steps, label, total)
    bar: Iterable[T] = tqdm(steps, desc=f"  {label}", total=total, delay=2.0, dynamic_ncols=True, leave=False)
    return bar


def _with_lines(steps: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    if total is None and isinstance(steps, Sized):
        total = len(steps)
    started_at = shown_at = time.monotonic()
    for num_done, step in enumerate(steps):
        now = time.monotonic()
        if now - shown_at >= LINE_SECONDS:
            shown_at = now
            print(f"  {label}: {_progress(num_done, total, now - started_at)}", file=sys.stderr, flush=True)
        yield step


def _progress(num_done: int, total: int | None, seconds: float) -> str:
    """Words for a log.

    >>> _progress(50, 200, 60.0), _progress(50, None, 60.0)
    ('50 of 200 after 60 s, about 180 s left', '50 after 60 s')
    """
    if not total or not num_done:
        return f"{num_done:,} after {seconds:.0f} s"
    left = seconds / num_done * max(0, total - num_done)
    return f"{num_done:,} of {total:,} after {seconds:.0f} s, about {left:.0f} s left"
