"""Run the service to be measured in a process of its own, as an operator would.

Knows processes; knows nothing of what is asked of the service.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 300
STOP_SECONDS = 60


@dataclass(frozen=True)
class ServiceProcess:
    """A service that is ready."""

    url: str
    process_id: int

    def resident_mib(self) -> float:
        """The memory that it holds now, from Linux's /proc."""
        pages = int(Path(f"/proc/{self.process_id}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def served_bundle(bundle: Path, data_dir: Path, **settings: object) -> Iterator[ServiceProcess]:
    """`clairo-serve run` on one thread and a free port, until the caller is done; its output goes into `data_dir`.

    Settings are those of `service.settings`, by name.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "service.cli", "run", "--bundle", str(bundle), "--data-dir", str(data_dir)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLAIRO_")}
    environment |= {f"CLAIRO_{name.upper()}": str(value) for name, value in settings.items()}
    log = data_dir / "output.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", "0", "--device", "cpu"],
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
        said = log.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"Playground: (http://\S+)/", said):
            return found[1]
        if process.poll() is not None:
            raise SystemExit(f"the service did not start:\n{said}")
        time.sleep(0.1)
    raise SystemExit(f"the service was not ready after {START_SECONDS} seconds:\n{log.read_text(encoding='utf-8')}")
