"""Seconds of calls, on a machine that may have other work."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Result = TypeVar("Result")


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """Run once; returns the result and the seconds."""
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def fastest(call: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several runs: other work on the machine only ever adds to a time."""
    seconds = []
    for _ in range(repeats):
        gc.collect()
        seconds.append(timed(call)[1])
    return min(seconds)


def fastest_in_turn(
    sides: Mapping[str, tuple[Callable[[], object], int]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds of each side's fastest call, by name. Sides take turns, each for its own number of repeats."""
    seconds: dict[str, float] = {}
    for turn in range(max(repeats for _, repeats in sides.values())):
        for name, (call, repeats) in sides.items():
            if turn < repeats:
                started = clock()
                call()
                seconds[name] = min(seconds.get(name, float("inf")), clock() - started)
    return seconds
