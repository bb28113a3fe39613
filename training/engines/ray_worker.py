"""Pieces in the processes of a Ray cluster. These import what a piece needs, and neither torch nor Ray's libraries.

`ray_cluster` sends the pieces.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray


class Worker:
    """An actor that holds what its latest work needs."""

    def __init__(self, directory: Path) -> None:
        os.chdir(directory)
        self.work: Any = None
        self.function: Callable[[Any], object] | None = None

    def run(self, shared_work: list[Any], piece: Any) -> object:
        """The result of a piece.

        Args:
            shared_work: a reference to what makes the function; in a list, as Ray would read it for every piece.
            piece: as prepared.
        """
        (work,) = shared_work
        if self.function is None or self.work != work:
            # What the work before needed goes first.
            self.function = None
            self.work, self.function = work, ray.get(work)()
        return self.function(piece)


def prepared(directory: Path, prepare: Callable[[Any], Any], piece: Any) -> Any:
    """A piece, ready for a worker, with paths from `directory`."""
    os.chdir(directory)
    return prepare(piece)
