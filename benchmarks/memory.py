"""Memory of processes: now, at its peak, and how it grows under load."""

import asyncio
import multiprocessing
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

MIB = 2**20
SAMPLE_SECONDS = 0.5
MAX_GROWTH_PERCENT = 5.0
"""Growth of a service under steady load above which a benchmark fails."""
Result = TypeVar("Result")


def resident_mib(process_ids: Sequence[int]) -> float:
    """Resident memory of the processes together, from Linux's /proc; an ended process counts as 0."""
    pages = 0
    for process_id in process_ids:
        with suppress(FileNotFoundError, ProcessLookupError):
            pages += int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def proportional_mib(process_ids: Sequence[int]) -> float:
    """Memory of the processes together, from Linux's /proc: a page that N processes share counts 1/N in each."""
    kibibytes = 0
    for process_id in process_ids:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text(encoding="ascii").splitlines()
        kibibytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kibibytes / 1024


def peak_bytes() -> int:
    """Peak resident memory of this process."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux' ru_maxrss starts at the parent's peak; VmHWM does not.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_own_process(call: Callable[[], Result]) -> Result:
    """Run a picklable call in a fresh process, to measure its peak memory alone."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(call).result()


@asynccontextmanager
async def sampled(read_mib: Callable[[], float]) -> AsyncIterator[list[float]]:
    """Read the memory every half second while the block runs; yields the list that grows."""
    memory: list[float] = []

    async def watch() -> None:
        while True:
            memory.append(await asyncio.to_thread(read_mib))
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield memory
    finally:
        watching.cancel()


def growth_percent(memory: Sequence[float]) -> float:
    """Growth from the peak of the second quarter, when buffers have held their largest batch, to that of the last.

    >>> growth_percent([90.0, 100.0, 100.0, 150.0])
    50.0
    """
    quarter = max(1, len(memory) // 4)
    return 100 * (max(memory[-quarter:]) / max(memory[quarter : 2 * quarter]) - 1)
