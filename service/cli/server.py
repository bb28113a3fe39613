"""One serving process: the app under uvicorn, from a bound socket to the last answer."""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import torch
import uvicorn
from threadpoolctl import threadpool_limits
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clairo_core.errors import ClairoError
from service.app import create_app
from service.cli.preloaded import Preloaded, preload
from service.cli.workers import threads_wanted
from service.routes.parts import Parts, Readiness
from service.settings import Settings
from service.telemetry.logs import set_up_logging
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import start_tracing

__all__ = ["Preloaded", "preload", "serve_alone"]

DRAIN_SECONDS = 20
MAX_HEAD_BYTES = 64 * 1024
"""Of a request's line and headers. What arrives in one read may exceed it."""


def serve_alone(
    settings: Settings,
    listening: socket.socket,
    report: Callable[[str], None],
    shared_folder: Path | None = None,
    *,
    is_replacement: bool = False,
    preloaded: Preloaded | None = None,
) -> str | None:
    """Serve in this process, and call `report` with a line once it serves. Return why it could not start, or None."""
    # Until here there was one thread, so that workers could be forked: BLAS's since the import, all others' in a fork.
    if preloaded is not None:
        torch.set_num_threads(threads_wanted())
    threadpool_limits(threads_wanted(), user_api="blas" if preloaded is None else None)
    set_up_logging(settings.log_format)
    start_tracing(os.environ)
    failures: list[Exception] = []

    def on_started(outcome: Parts | Exception) -> None:
        if isinstance(outcome, Exception):
            failures.append(outcome)
            server.should_exit = True
        else:
            num_items = outcome.served.live.recommender.catalogue.num_live
            report(f"CLAIRO serves {num_items} items of bundle {outcome.served.live.bundle_id}.")

    bundle, recommender = (None, None) if preloaded is None else (preloaded.bundle, preloaded.recommender)
    web_app = create_app(
        settings,
        bundle,
        on_started,
        metrics=Metrics(shared_folder),
        is_replacement=is_replacement,
        recommender=recommender,
    )
    server = _DrainingServer(
        web_app.state.readiness,
        uvicorn.Config(
            web_app,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            # X-Forwarded-For is never believed, whatever FORWARDED_ALLOW_IPS: the peer is who connects.
            proxy_headers=False,
            timeout_keep_alive=settings.keep_alive_seconds,
            http=BoundedHeads,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        ),
    )
    server.run(sockets=[listening])
    for failure in failures:
        if not isinstance(failure, ClairoError):
            raise failure
        return str(failure)
    return None


class BoundedHeads(HttpToolsProtocol):
    """HTTP/1.1 by httptools, which alone would keep an endless head, or endless trailers, in memory."""

    _num_head_bytes = 0
    """Since the last head's end or body's byte."""

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; refuse a head, or trailers, that have not ended within `MAX_HEAD_BYTES`."""
        self._num_head_bytes += len(data)
        super().data_received(data)
        if self._num_head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The request's head exceeds {MAX_HEAD_BYTES} bytes; send less.")

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._num_head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End it."""
        self._num_head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._num_head_bytes = 0
        super().on_body(body)


class _DrainingServer(uvicorn.Server):
    """Reports not ready from the signal on, while the last requests are answered."""

    def __init__(self, readiness: Readiness, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._readiness = readiness

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGINT and SIGTERM."""
        self._readiness.is_draining = True
        super().handle_exit(sig, frame)
