"""A shop's pages on their own origin, over the files of `tests/e2e/storefront`."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.repository import REPOSITORY

FOLDER = REPOSITORY / "tests" / "e2e" / "storefront"


class Storefront(ThreadingHTTPServer):
    """Serves the pages, and `config` at /config.json."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(FOLDER)))
        self.config: dict[str, Any] = {}
        """`service`, `key` and `products`: set before the first page is opened."""
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(SimpleHTTPRequestHandler):
    server: Storefront

    def do_GET(self) -> None:
        if self.path != "/config.json":
            super().do_GET()
            return
        body = json.dumps(self.server.config).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running_storefront() -> Iterator[Storefront]:
    """A shop at its own address, stopped at the end of the test."""
    with Storefront() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
