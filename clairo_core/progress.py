"""How long work reports its progress, without knowing where the report goes.

`clairo_core` never prints. Long-running functions take a `Progress`; the command line passes one that draws a bar.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

Progress = Callable[[Iterable[T], str, int | None], Iterable[T]]
"""(steps, what is being done, how many steps there are if known) -> the same steps."""


def silent(steps: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """Report nothing."""
    return steps
