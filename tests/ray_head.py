"""A real Ray cluster of one machine, in a folder of its own. Its three CPUs and its GPU are numbers to Ray alone."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.repository import REPOSITORY

START_SECONDS = 120


@contextmanager
def ray_head() -> Iterator[str]:
    """Start it, and give its address.

    Ray gives a node 30 seconds to start, which a busy machine may need: it gets three chances.
    """
    # Paths of Ray's sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    try:
        for _ in range(3):
            head, address = _started(folder)
            if address is not None:
                break
            _stop(head)
        else:
            raise RuntimeError(f"Ray did not start:\n{(folder / 'log').read_text()}")
        yield address
        _stop(head)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path) -> tuple[subprocess.Popen[bytes], str | None]:
    """The process that holds the others, and the address once it takes connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        "--num-cpus",
        "3",
        "--num-gpus",
        "1",
    ]
    command += ["--port", str(port), "--include-dashboard=false", "--temp-dir", str(folder / str(port))]
    # Neither scales the cluster nor forwards its logs.
    command += ["--no-monitor", "--include-log-monitor=false"]
    own = {"HOME": str(folder), "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    log = folder / "log"
    with log.open("wb") as output:
        # A group of its own, so that all of it can be stopped.
        head = subprocess.Popen(
            command, env=os.environ | own, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    give_up_at = time.monotonic() + START_SECONDS
    while head.poll() is None and time.monotonic() < give_up_at:
        if "Ray runtime started" in log.read_text():
            return head, f"127.0.0.1:{port}"
        time.sleep(0.2)
    return head, None


def _stop(head: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGTERM)
    try:
        head.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
