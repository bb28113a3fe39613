"""A part that starts a process, says which, and never ends."""

import subprocess
import sys
import threading
from collections.abc import Iterator

from benchmarks.gpu.checklist import Setup
from benchmarks.gpu.run_parts import Measured, Step


def steps(_setup: Setup) -> list[Step]:
    return [hangs]


def hangs() -> Iterator[Measured]:
    started = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
    yield "process id", float(started.pid)
    threading.Event().wait()
