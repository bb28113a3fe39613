"""Describe the device that computes, choose how its searches are recorded, and time calls on it."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.speed.timing import timed
from clairo_core.generation.recorded.cuda_graphs import CudaRecorder, Recorder


class Rerun:
    """Replays work by running it again, on a device without graphs: a trial of all that stands around graphs."""

    uses_pinned_memory = False

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run the work once; the call runs it again."""
        work()
        return work

    def wait(self) -> None:
        """Return: the work is done."""

    def apart(self) -> "Rerun":
        """This one."""
        return self


def recorder_of(device: torch.device) -> Recorder:
    """CUDA graphs on a GPU."""
    return CudaRecorder(device) if device.type == "cuda" else Rerun()


def described(device: str) -> str:
    """Name, memory and libraries of a device that has computed a product.

    Raises:
        RuntimeError: torch finds no such device, or it cannot compute.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"torch {torch.__version__} finds no CUDA GPU")
    ones = torch.ones(64, 64, device=device)
    if float((ones @ ones).sum()) != 64.0**3:
        raise RuntimeError(f"{device} computes a wrong product")
    if device != "cuda":
        return f"trial on the {device.upper()}, torch {torch.__version__}"
    memory = torch.cuda.get_device_properties(0).total_memory / (1 << 30)
    return f"{torch.cuda.get_device_name()}, {memory:.0f} GiB, torch {torch.__version__}, CUDA {torch.version.cuda}"


def synchronize(device: str) -> None:
    """Wait until the device has done all its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(call: Callable[[], object], seconds: float, *, at_least: int = 3) -> list[float]:
    """Seconds of each of several calls, for about `seconds`, after one that warms up. A call waits for the device."""
    call()
    times: list[float] = []
    give_up_at = time.perf_counter() + seconds
    while len(times) < at_least or time.perf_counter() < give_up_at:
        times.append(timed(call)[1])
    return times


def per_second(call: Callable[[], object], count: int, seconds: float, *, at_least: int = 3) -> float:
    """Rate at which a call does `count` things: of its median time."""
    return count / statistics.median(seconds_of(call, seconds, at_least=at_least))


def percentile_ms(times: list[float], percent: float) -> float:
    """Percentile of times in seconds, as milliseconds."""
    return 1000 * float(np.percentile(times, percent))
