"""A signal to a worker is never lost, however early it comes."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.repository import REPOSITORY

STOPPED_AT_BIRTH = """
import os, signal, socket, sys, time
from pathlib import Path
from service.cli.workers import serve_with_workers
from service.settings import Settings

os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
settings = Settings(bundle=Path(sys.argv[1]), workers=2)
with socket.socket() as listening:
    print(serve_with_workers(settings, listening, lambda *_: time.sleep(600), lambda _: "loaded", print))
"""


def test_a_worker_stopped_as_it_is_forked_ends_at_once(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_BIRTH, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"exit code {-signal.SIGTERM} before it served" in ended.stdout, ended.stdout + ended.stderr
