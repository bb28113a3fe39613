"""A part whose second step fails."""

from collections.abc import Iterator

from benchmarks.gpu.checklist import Setup
from benchmarks.gpu.run_parts import Measured, Step


def steps(setup: Setup) -> list[Step]:
    return [lambda: iter([("first", setup.seconds)]), fails, lambda: iter([("third", 3.0)])]


def fails() -> Iterator[Measured]:
    yield "second", 2.0
    raise ValueError("no kernel image is available")
