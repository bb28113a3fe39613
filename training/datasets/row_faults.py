"""What a reader of text files does with a line that it cannot read: raise, or pass it on and go on."""

from collections.abc import Callable
from typing import TypeAlias

from clairo_core.errors import RowError

OnFault: TypeAlias = Callable[[RowError], None]
"""Takes each fault. Where it returns, the line is left out and reading goes on."""


def raise_fault(fault: RowError) -> None:
    """Stop at the first fault."""
    raise fault
