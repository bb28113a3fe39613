"""A shop's service as a page meets it: the pages' own files, and answers that a test sets, changes and makes fail."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from service.http.request_context import SECURITY_HEADERS
from tests.repository import REPOSITORY

FILES = REPOSITORY / "service"
PAGES = {"/": "playground/index.html", "/operator": "playground/operator/index.html", "/clairo.js": "browser/clairo.js"}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class FakeShop:
    """`answers` by path; `failing` is a status and a title with which every call is answered instead."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "/health/ready": {"status": "ready"},
            "/info": {
                "num_items": 2,
                "bundle_id": "b-1",
                "preset": "clairo",
                "catalogue_version": 1,
                "can_ingest": True,
                "answering_bundle_ids": ["b-1"],
            },
            "/users": {"users": [], "next_cursor": None},
            "/jobs": {"jobs": []},
            "/schema": {"attributes": {}},
            "/metrics": "",
        }
        self.failing: tuple[int, str] | None = None
        self.calls: Counter[str] = Counter()
        self.url = ""

    def put_items(self, *items: dict[str, Any]) -> None:
        """Fill the catalogue; every item is recommended in this order."""
        plain: dict[str, Any] = {"title": "", "attributes": {}, "picture_url": None, "origin": "bundle"}
        listed = [plain | item for item in items]
        detail = {
            "texts": {},
            "is_retired": False,
            "semantic_id": [1],
            "feature_set": [],
            "tokens": [],
            "missing_modalities": [],
        }
        self.answers["/items"] = {"items": listed, "next_cursor": None}
        self.answers |= {f"/items/{item['item_id']}": item | detail for item in listed}
        self.answers |= {f"/items/{item['item_id']}/similar": {"items": []} for item in listed}
        ranked = [item | {"rank": rank, "score": 0.5, "source": "generative"} for rank, item in enumerate(listed, 1)]
        self.answers["/recommend"] = {"items": ranked, "fallback_reason": None}


@contextmanager
def fake_shop() -> Iterator[FakeShop]:
    """Serve one."""
    shop = FakeShop()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            shop.calls[f"{self.command} {path}"] += 1
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            file = FILES / PAGES.get(path, path.lstrip("/"))
            if path in PAGES or path.startswith("/playground/"):
                self.answer(200, TYPES[file.suffix], file.read_bytes())
            elif shop.failing is not None:
                status, title = shop.failing
                document = {"title": title, "detail": "a fake says so", "status": status}
                self.answer(status, "application/problem+json", json.dumps(document).encode())
            elif isinstance(found := shop.answers.get(path), str):
                self.answer(200, "text/plain", found.encode())
            elif found is not None:
                self.answer(200, "application/json", json.dumps(found).encode())
            else:
                self.answer(404, "application/problem+json", json.dumps({"title": "Not found", "status": 404}).encode())

        do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815

        def answer(self, status: int, media_type: str, content: bytes) -> None:
            self.send_response(status)
            for name, value in {**SECURITY_HEADERS, "Content-Type": media_type}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    shop.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
