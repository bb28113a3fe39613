"""Seconds and peak memory of a call, on a machine that may have other work."""

import gc
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")


def fastest(call: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several runs: other work on the machine only ever adds to a time."""
    seconds = []
    for _ in range(repeats):
        gc.collect()
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def in_own_process(call: Callable[[], Result]) -> Result:
    """Run a picklable call in a fresh process, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(call).result()


def peak_bytes() -> int:
    """The most memory that this process has held at once."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux' ru_maxrss starts at the peak of the process that started this one; VmHWM does not.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
