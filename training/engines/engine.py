"""The protocol of all engines, and the default: a plain loop in this process. Start at `Engine`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

Piece = TypeVar("Piece")
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")

Train = Callable[..., object]
"""A training with everything but its keyword `processes`. It leaves its result in a folder that all machines see."""


def unprepared(piece: Any) -> Any:
    """The piece itself."""
    return piece


class Engine(Protocol):
    """Runs the pieces of a stage."""

    def map(
        self,
        work: Callable[[], Callable[[Prepared], Result]],
        pieces: Sequence[Piece],
        prepare: Callable[[Piece], Prepared] = unprepared,
    ) -> Iterator[Result]:
        """Apply a function to every piece. Few results wait to be read: whoever reads slowly slows the work down.

        Args:
            work: makes the function, once per worker, which then holds what it needs. It goes to other processes, and
                so do pieces and results.
            pieces: each may be computed twice, if a worker dies.
            prepare: makes what the function takes of a piece, without a GPU. Where workers have GPUs, other processes
                prepare the next pieces meanwhile.

        Returns:
            The results in the order of the pieces. Arrays may be read-only.
        """

    def fit(self, train: Train) -> None:
        """Run a training in one or more processes; see `Processes`."""


class InThisProcess:
    """The default engine."""

    def map(
        self,
        work: Callable[[], Callable[[Prepared], Result]],
        pieces: Sequence[Piece],
        prepare: Callable[[Piece], Prepared] = unprepared,
    ) -> Iterator[Result]:
        """A plain loop."""
        function = preparing(work, prepare)
        return (function(piece) for piece in pieces)

    def fit(self, train: Train) -> None:
        """A plain call."""
        # A process that runs pieces alone does without torch.
        from training.engines.processes import ALONE  # noqa: PLC0415

        train(processes=ALONE)


def preparing(
    work: Callable[[], Callable[[Prepared], Result]], prepare: Callable[[Piece], Prepared]
) -> Callable[[Piece], Result]:
    """Make the function of both steps."""
    function = work()
    return lambda piece: function(prepare(piece))


IN_THIS_PROCESS = InThisProcess()
