"""A real S3 server for tests, which keeps each object as a file; it can be killed and restarted on the same port."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clairo_core.storage.storage_address import StorageAddress, place_of

START_SECONDS = 20
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "shop",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET = "shop"


class ObjectStorage:
    """A server on a free loopback port with one empty bucket."""

    def __init__(self, folder: Path) -> None:
        self.bundles = folder / BUCKET / "bundles"
        """The files behind `address`."""
        self.bundles.parent.mkdir(parents=True)
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}/bundles?endpoint_override=127.0.0.1:{self._port}&scheme=http&region=us-east-1"

    @property
    def address(self) -> StorageAddress:
        address = place_of(self.url)
        assert isinstance(address, StorageAddress)
        return address

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", "localbucket", "--port", str(self._port), str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_storage(folder: Path) -> Iterator[ObjectStorage]:
    """A running server, stopped at the end; this process and those that it starts have credentials."""
    os.environ.update(CREDENTIALS)
    storage = ObjectStorage(folder)
    storage.start()
    try:
        yield storage
    finally:
        storage.kill()
        for name in CREDENTIALS:
            del os.environ[name]
