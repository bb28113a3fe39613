"""Run our commands as fresh processes that import nothing: each is forked from one that has imported everything.

An import of torch takes seconds, a fork milliseconds.
"""

import multiprocessing
import os
import re
import runpy
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from tests.repository import REPOSITORY

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "service.cli.doctor",
        "service.cli.server",
        "training.cli",
        "training.cli.run_on_data",
        "training.comparison.run_comparison",
        "training.demo_shop",
        "training.recommending.recommend_users",
        "training.retraining.retrain",
    ]
)
FEW_ANSWERS = 3
"""Timed by a training, in place of 40."""
MAINS = {"clairo-train": "training.cli", "clairo-serve": "service.cli"}


class ForkedProcess:
    """A command with one thread and nothing to read, under the names of `subprocess.Popen`.

    `clairo-train ...`, `clairo-serve ...` or `python -m MODULE ...`.
    """

    def __init__(self, words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        """Start in `folder`; of this process' variables, those of CLAIRO are left out."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLAIRO_")}
        paths = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        reading, writing = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(
            target=_run, args=(tuple(words), folder, inherited | paths | dict(variables), writing)
        )
        self._process.start()
        writing.close()
        self.stdout = os.fdopen(os.dup(reading.fileno()), encoding="utf-8", errors="replace")
        """Standard output and error."""
        reading.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutError(f"process {self.pid} runs after {timeout} seconds")
        return code

    def send_signal(self, kind: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, kind)


class FreshProcess:
    """A command whose output is read where one waits for it."""

    def __init__(self, words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        """As `ForkedProcess`."""
        self._process = ForkedProcess(words, folder, variables)
        self.output = ""
        """What was read of standard output and error so far."""

    def wait_for(self, pattern: str) -> str:
        """Read until a line has the pattern, and return its first group.

        Raises:
            RuntimeError: the process ended before.
        """
        for line in self._process.stdout:
            self.output += line
            if found := re.search(pattern, line):
                return found[1]
        raise RuntimeError(f"no line with {pattern!r}:\n{self.output}")

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        self.output += self._process.stdout.read()
        return self._process.wait()

    def stop(self) -> int:
        """Send SIGTERM, if it runs, and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self.wait()
        self._process.stdout.close()
        return code


@contextmanager
def fresh_process(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Iterator[FreshProcess]:
    """A process that is stopped at the end."""
    process = FreshProcess(words, folder, variables)
    try:
        yield process
    finally:
        process.stop()


def _run(words: tuple[str, ...], folder: Path, variables: Mapping[str, str], writing: Connection) -> None:
    """In the new process: become the command."""
    # Imported already where this runs.
    import torch

    from training.evaluation import answer_times

    answer_times.ANSWERS_TIMED = FEW_ANSWERS
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for stream in (1, 2):
        os.dup2(writing.fileno(), stream)
    writing.close()
    sys.stdout, sys.stderr = (open(stream, "w", buffering=1, closefd=False) for stream in (1, 2))  # noqa: SIM115
    torch.set_num_threads(1)
    sys.argv = list(words)
    if words[0] in MAINS:
        import_module(MAINS[words[0]]).main()
    else:
        _, _, module, *arguments = words
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
