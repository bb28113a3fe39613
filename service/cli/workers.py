"""Serve one port from several processes, which share the listening socket and the store.

The first process loads the bundle and then only watches. On Linux, workers are forked from it and share its memory, as
long as they do not write to it; elsewhere, and on a GPU, each worker loads the bundle itself. A worker that dies is
replaced: requests in flight are lost, acknowledged writes are in the store. A worker that fails at its first start
stops them all. Start at `serve_with_workers`.
"""

import gc
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from clairo_core.errors import ClairoError
from service.settings import Settings
from service.usable_cores import usable_cores

logger = logging.getLogger("clairo.workers")

SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client reads it at import, so it is set before this process or a worker imports that."""
THREADS_VARIABLE = "OMP_NUM_THREADS"
LOOK_SECONDS = 0.5
RESTART_SECONDS = 1.0
"""Pause before a dead worker is replaced."""
THREADS_END_SECONDS = 2.0
STOP_SECONDS = 40
"""A worker that takes longer to drain is killed."""
STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Report = Callable[[str], None]
"""Reports that a worker serves, or, after a leading `!`, why it cannot."""
Loaded = Any
"""What the first process loads for its forks: a bundle and its recommender. None in a worker that loads them itself."""
Load = Callable[[Settings], Loaded]
"""Loads them on one thread, or returns None where they cannot be shared. It may raise a `ClairoError`."""
WorkerMain = Callable[[Settings, socket.socket, Report, Path, bool, Loaded], None]
"""The last but one argument: whether other workers serve already, so that this one listens only once it is ready."""


def serve_with_workers(
    settings: Settings, listening: socket.socket, worker_main: WorkerMain, load: Load, on_ready: Callable[[str], None]
) -> str | None:
    """Run `settings.workers` processes until SIGINT or SIGTERM; call `on_ready` once all of them serve.

    Args:
        settings: of the operator.
        listening: the socket that all workers accept on.
        worker_main: serves in a worker.
        load: loads what forked workers share; called only where workers are forked.
        on_ready: called with the line that a worker reports.

    Returns:
        Why a worker could not start; None after a normal stop.
    """
    # torch reads it at import. An operator's own value stays.
    os.environ.setdefault(THREADS_VARIABLE, str(threads_per_worker(settings.workers, usable_cores())))
    shared_folder = Path(tempfile.mkdtemp(prefix="clairo-metrics-"))
    # prometheus-client reads it at import.
    os.environ[SHARED_FOLDER_VARIABLE] = str(shared_folder)
    try:
        loaded = _loaded_for_forks(settings, load)
        return _Workers(settings, listening, worker_main, shared_folder, on_ready, loaded).run()
    except ClairoError as error:
        return str(error)
    finally:
        gc.unfreeze()
        del os.environ[SHARED_FOLDER_VARIABLE]
        shutil.rmtree(shared_folder, ignore_errors=True)


def _loaded_for_forks(settings: Settings, load: Load) -> Loaded:
    """Load what forked workers share; None if workers have to be spawned.

    A fork copies only the thread that forks: locks that others hold stay locked, and pools of OpenMP wait for threads
    that do not exist. So everything is loaded on one thread, and nothing is forked if there are more.
    """
    # macOS: its system libraries must not be used after a fork.
    if sys.platform != "linux":
        return None
    num_threads, os.environ[THREADS_VARIABLE] = os.environ[THREADS_VARIABLE], "1"
    try:
        loaded = load(settings)
    finally:
        os.environ[THREADS_VARIABLE] = num_threads
    if loaded is None:
        return None
    # A connection's thread may end a moment after the connection.
    give_up_at = time.monotonic() + THREADS_END_SECONDS
    while num_threads_of_this_process() > 1 and time.monotonic() < give_up_at:
        time.sleep(0.05)
    if num_threads_of_this_process() > 1:
        logger.warning("a library started threads while the bundle was loaded: each worker loads it itself")
        return None
    # Collections in a worker would write to every object that it shares.
    gc.collect()
    gc.freeze()
    return loaded


def threads_wanted() -> int:
    """Threads to compute with: the first level of OMP_NUM_THREADS, or all cores."""
    first = os.environ.get(THREADS_VARIABLE, "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else usable_cores()


def num_threads_of_this_process() -> int:
    """Threads of Python and of libraries, from Linux's /proc."""
    return len(list(Path("/proc/self/task").iterdir()))


def threads_per_worker(num_workers: int, num_cores: int) -> int:
    """Share the cores among the workers; if each used all of them, they would wait for one another.

    >>> [threads_per_worker(num_workers, 8) for num_workers in (1, 3, 16)]
    [8, 2, 1]
    """
    return max(1, num_cores // num_workers)


class _Workers:
    def __init__(
        self,
        settings: Settings,
        listening: socket.socket,
        worker_main: WorkerMain,
        shared_folder: Path,
        on_ready: Callable[[str], None],
        loaded: Loaded,
    ) -> None:
        self._settings = settings
        self._listening = listening
        self._worker_main = worker_main
        self._shared_folder = shared_folder
        self._on_ready = on_ready
        self._loaded = loaded
        self._processes: dict[Connection, BaseProcess] = {}
        self._context: Any = multiprocessing.get_context("spawn" if loaded is None else "fork")
        self._num_ready = 0
        self._have_all_served = False
        self._is_stopping = False
        self._failure: str | None = None

    def run(self) -> str | None:
        for kind in STOPPING_SIGNALS:
            signal.signal(kind, self._on_signal)
        for _ in range(self._settings.workers):
            self._start_one()
        while self._processes and not self._is_stopping:
            # The timeout bounds how long a signal goes unnoticed.
            for connection in wait(list(self._processes), timeout=LOOK_SECONDS):
                if isinstance(connection, Connection):
                    self._receive(connection)
        self._stop_all()
        return self._failure

    def _start_one(self) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        arguments = (
            self._worker_main,
            self._settings,
            self._listening,
            theirs,
            self._shared_folder,
            self._have_all_served,
            self._loaded,
            os.getpid(),
        )
        process = self._context.Process(target=_run_worker, args=arguments, name="clairo-worker")
        # A fork begins with this process's handler, which would swallow a signal: it waits for the worker's own.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        theirs.close()
        self._processes[ours] = process

    def _receive(self, connection: Connection) -> None:
        """Handle a worker's report, or its death."""
        try:
            message = connection.recv_bytes().decode()
        except EOFError:
            self._replace_dead(connection)
            return
        if message.startswith("!"):
            if not self._have_all_served:
                self._failure = message[1:]
                self._is_stopping = True
            else:
                logger.error("a worker cannot start, trying again: %s", message[1:])
            return
        if self._have_all_served:
            logger.warning("worker %s serves in place of one that ended", self._processes[connection].pid)
            return
        self._num_ready += 1
        if self._num_ready == self._settings.workers:
            self._have_all_served = True
            self._on_ready(message)

    def _replace_dead(self, connection: Connection) -> None:
        process = self._processes.pop(connection)
        connection.close()
        process.join()
        if process.pid is not None:
            # Reads the variable above at import.
            from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

            mark_process_dead(process.pid, str(self._shared_folder))  # type: ignore[no-untyped-call]
        if self._is_stopping:
            return
        if not self._have_all_served:
            self._failure = f"a worker process ended with exit code {process.exitcode} before it served; see the log"
            self._is_stopping = True
            return
        logger.error("worker %s ended with exit code %s; another one starts", process.pid, process.exitcode)
        time.sleep(RESTART_SECONDS)
        if not self._is_stopping:
            self._start_one()

    def _stop_all(self) -> None:
        for process in self._processes.values():
            process.terminate()
        give_up_at = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            process.join(max(0.1, give_up_at - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True


def _run_worker(
    worker_main: WorkerMain,
    settings: Settings,
    listening: socket.socket,
    ours: Any,
    shared_folder: Path,
    is_replacement: bool,
    loaded: Loaded,
    parent_id: int,
) -> None:
    """Main function of a worker process."""

    def report(text: str) -> None:
        ours.send_bytes(text.encode())

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Control-C and a terminal's end reach every process of a terminal; only the watching process passes them on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING_SIGNALS)
    threading.Thread(target=_stop_without_parent, args=(parent_id,), name="clairo-parent-watch", daemon=True).start()
    worker_main(settings, listening, report, shared_folder, is_replacement, loaded)


def _stop_without_parent(parent_id: int) -> None:
    """Drain and exit if the watching process was killed, because nothing else would stop this worker."""
    # Forks hold each other's pipes open, so the end of one would come only with the end of the others.
    while os.getppid() == parent_id:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
