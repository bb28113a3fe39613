"""Run the service in its own process, as an operator would."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory import resident_mib

START_SECONDS = 300
STOP_SECONDS = 60
OUTPUT_FILE = "output.txt"
HELPER = b"resource_tracker"
"""In the command of Python's own process beside spawned workers."""


@dataclass(frozen=True)
class ServiceProcess:
    """A ready service."""

    url: str
    process_id: int

    def resident_mib(self) -> float:
        """Resident memory, its workers' included."""
        return resident_mib((self.process_id, *children_of(self.process_id)))

    def worker_ids(self) -> list[int]:
        """Process ids of the workers of a multi-process service, from Linux's /proc."""
        return [child for child in children_of(self.process_id) if HELPER not in _command_of(child)]


def _command_of(process_id: int) -> bytes:
    """Command line of a process; empty once it has ended, waited for or not."""
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def processor_seconds(process_id: int) -> float:
    """Processor time that a process has used, from Linux's /proc."""
    stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    # User and system time are the 14th and 15th field.
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def children_of(process_id: int) -> list[int]:
    """Process ids of the direct children, from Linux's /proc."""
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # The name, in brackets, can hold anything; the parent is the second field after it. Processes end meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]) == process_id:
                children.append(int(stat.parent.name))
    return children


@contextmanager
def served_bundle(bundle: Path, data_dir: Path, **settings: object) -> Iterator[ServiceProcess]:
    """Run `clairo-serve run` on one thread and a free port; its output goes into `data_dir`.

    Settings are those of `service.settings`, by name; the device is the CPU unless they name one.
    """
    with serving_module("service.cli", bundle, data_dir, settings) as service:
        yield service


@contextmanager
def serving_module(
    module: str, bundle: Path, data_dir: Path, settings: Mapping[str, object], **variables: str
) -> Iterator[ServiceProcess]:
    """As `served_bundle`, with another module as the command line, and further environment variables."""
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, "run", "--bundle", str(bundle), "--data-dir", str(data_dir)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLAIRO_")}
    chosen = {"device": "cpu", "port": 0} | dict(settings)
    environment |= variables | {f"CLAIRO_{name.upper()}": str(value) for name, value in chosen.items()}
    log = data_dir / OUTPUT_FILE
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield ServiceProcess(_url_once_ready(process, log), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _url_once_ready(process: "subprocess.Popen[bytes]", log: Path) -> str:
    for _ in range(10 * START_SECONDS):
        output = log.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"Playground: (http://\S+)/", output):
            return found[1]
        if process.poll() is not None:
            raise SystemExit(f"the service did not start:\n{output}")
        time.sleep(0.1)
    raise SystemExit(f"the service was not ready after {START_SECONDS} seconds:\n{log.read_text(encoding='utf-8')}")
