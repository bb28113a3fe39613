"""The protocol of all engines, and the default: a plain loop in this process. Start at `Engine`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from training.engines.processes import ALONE

Piece = TypeVar("Piece")
Result = TypeVar("Result")

Train = Callable[..., object]
"""A training with everything but its keyword `processes`. It leaves its result in a folder that all machines see."""


class Engine(Protocol):
    """Runs the pieces of a stage."""

    def map(self, work: Callable[[], Callable[[Piece], Result]], pieces: Sequence[Piece]) -> Iterator[Result]:
        """Apply a function to every piece. Few results wait to be read: whoever reads slowly slows the work down.

        Args:
            work: makes the function, once per worker, which then holds what it needs. It goes to other processes, and
                so do pieces and results.
            pieces: each may be computed twice, if a worker dies.

        Returns:
            The results in the order of the pieces.
        """

    def fit(self, train: Train) -> None:
        """Run a training in one or more processes; see `Processes`."""


class InThisProcess:
    """The default engine."""

    def map(self, work: Callable[[], Callable[[Piece], Result]], pieces: Sequence[Piece]) -> Iterator[Result]:
        """A plain loop."""
        function = work()
        return (function(piece) for piece in pieces)

    def fit(self, train: Train) -> None:
        """A plain call."""
        train(processes=ALONE)


IN_THIS_PROCESS = InThisProcess()
