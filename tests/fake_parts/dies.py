"""A part whose process ends in the middle, as after a fault of a driver."""

import os
from collections.abc import Iterator

from benchmarks.gpu.checklist import Setup
from benchmarks.gpu.run_parts import Measured, Step


def steps(_setup: Setup) -> list[Step]:
    return [dies]


def dies() -> Iterator[Measured]:
    yield "first", 1.0
    os._exit(7)
