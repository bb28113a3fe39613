"""Measure each part in a process of its own, and stop it in time. Start at `measured`.

A part that hangs, dies or leaves the GPU in a bad state costs its own remaining rows alone. Processes fork from a small
server that has imported the libraries and never touched the GPU, so each starts at once with a GPU of its own.
"""

import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TypeAlias

from benchmarks.gpu.checklist import Setup

Measured: TypeAlias = tuple[str, float]
"""Name of a row, and its value."""
Step: TypeAlias = Callable[[], Iterator[Measured]]
Problem: TypeAlias = str
"""Why some rows have no value."""
PRELOADED = ("transformers", "training.pipeline.run", "benchmarks.speed.made_recommenders")
END_SECONDS = 10
"""For the end of a part's process once it has measured all."""
_PROCESSES = multiprocessing.get_context("forkserver")


def preload() -> None:
    """Let the server of processes import what the parts share; call it before the first process."""
    # A library that asks at import whether there is a GPU must not initialize CUDA: no fork could use it then.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    _PROCESSES.set_forkserver_preload(list(PRELOADED))


def description_of(device: str) -> str:
    """`device.described`, by a process of its own.

    Raises:
        RuntimeError: there is no such device, or it cannot compute.
    """
    with ProcessPoolExecutor(1, mp_context=_PROCESSES) as process:
        return process.submit(_description_of, device).result()


def _description_of(device: str) -> str:
    described: Callable[[str], str] = import_module("benchmarks.gpu.device").described
    return described(device)


def measured(module: str, setup: Setup, seconds: float) -> Iterator[Measured | Problem]:
    """Yield the rows of a part as they are measured, and what kept others from it; ends after `seconds`."""
    receiver, sender = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_measure, args=(module, setup, sender))
    process.start()
    sender.close()
    give_up_at = time.monotonic() + seconds
    try:
        while receiver.poll(max(0.0, give_up_at - time.monotonic())):
            yield receiver.recv()
    except EOFError:
        process.join(END_SECONDS)
        if process.exitcode:
            yield f"{module} died, exit code {process.exitcode}"
    finally:
        # A service that the part has started is of its group, and ends with it.
        with suppress(ProcessLookupError):
            assert process.pid is not None
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        receiver.close()


def _measure(module: str, setup: Setup, sender: "Connection[Measured | Problem, None]") -> None:
    os.setsid()
    tempfile.tempdir = str(setup.folder)
    steps: Sequence[Step] = import_module(module).steps(setup)
    for step in steps:
        try:
            for row in step():
                sender.send(row)
        except (Exception, SystemExit) as error:  # a step that fails must not cost the others
            place = traceback.extract_tb(error.__traceback__)[-1]
            at = f"{os.path.basename(place.filename)}, line {place.lineno}"  # noqa: PTH119 - a name, not a file
            sender.send(f"{module}: {type(error).__name__}: {error} ({at})")
