"""Work in pieces that shows where it runs, or kills its process. Imports little, as every worker imports it."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clairo_core.errors import EncoderError
from training.engines.engine import Engine, unprepared


def squaring() -> Callable[[tuple[int, str]], tuple[int, list[int]]]:
    values = np.arange(8)

    def square(piece: tuple[int, str]) -> tuple[int, list[int]]:
        number, _ = piece
        return number, (values[:number] ** 2).tolist()

    return square


def refusing() -> Callable[[int], int]:
    """A function whose second piece is refused."""

    def refuse(piece: int) -> int:
        if piece == 1:
            raise EncoderError("piece 1 is unreadable")
        return piece

    return refuse


def process_of(_: object) -> int:
    return os.getpid()


def with_its_process() -> Callable[[int], tuple[int, int]]:
    return lambda prepared: (prepared, os.getpid())


@dataclass(frozen=True)
class KilledInTheMiddle:
    """An engine that kills the first process that gets a second piece."""

    engine: Engine
    killed: Path
    """A file that is there once a process was killed."""

    def map(
        self, work: Callable[[], Any], pieces: Sequence[Any], prepare: Callable[[Any], Any] = unprepared
    ) -> Iterator[Any]:
        return self.engine.map(partial(killing_at_second, self.killed, work), pieces, prepare)

    def fit(self, train: Callable[..., object]) -> None:
        raise NotImplementedError


def killing_at_second(killed: Path, work: Callable[[], Callable[[Any], Any]]) -> Callable[[Any], Any]:
    function, begun = work(), []

    def run(piece: Any) -> Any:
        begun.append(piece)
        if len(begun) == 2 and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return function(piece)

    return run
