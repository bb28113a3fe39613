"""Draw a progress bar on standard error for work that takes longer than two seconds."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress_bar(steps: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """Yield the same steps under a bar that shows the rate and the time left."""
    bar: Iterable[T] = tqdm(steps, desc=f"  {label}", total=total, delay=2.0, dynamic_ncols=True, leave=False)
    return bar
