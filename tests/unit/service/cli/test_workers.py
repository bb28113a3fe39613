"""A signal to a worker is never lost, however early it comes, and a closed terminal ends all by the first process."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.repository import REPOSITORY

PROGRAM = """
import os, signal, socket, sys, time
from pathlib import Path
from service.cli.workers import serve_with_workers
from service.settings import Settings

{signals}
settings = Settings(bundle=Path(sys.argv[1]), workers=2)
with socket.socket() as listening:
    print(serve_with_workers(settings, listening, {worker}, lambda _: "loaded", print))
"""
STOPPED_AT_BIRTH = PROGRAM.format(
    signals="os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))",
    worker="lambda *_: time.sleep(600)",
)
HUNG_UP = PROGRAM.format(
    signals="signal.signal(signal.SIGHUP, signal.SIG_DFL)",
    worker="lambda *_: (signal.raise_signal(signal.SIGHUP), sys.exit(3))",
)


def output_of(program: str, folder: Path) -> str:
    command = [sys.executable, "-c", program, str(folder)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    return ended.stdout + ended.stderr


def test_a_worker_stopped_as_it_is_forked_ends_at_once(tmp_path: Path) -> None:
    assert f"exit code {-signal.SIGTERM} before it served" in output_of(STOPPED_AT_BIRTH, tmp_path)


def test_a_closed_terminal_does_not_cut_off_a_worker(tmp_path: Path) -> None:
    assert "exit code 3 before it served" in output_of(HUNG_UP, tmp_path)
