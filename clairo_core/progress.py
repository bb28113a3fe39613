"""Report the progress of long work.

`clairo_core` never prints: long-running functions take a `Progress`, and the command line passes one that draws a bar.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

Progress = Callable[[Iterable[T], str, int | None], Iterable[T]]
"""(steps, label, number of steps if known) -> the same steps."""


def silent(steps: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """Report nothing."""
    return steps
