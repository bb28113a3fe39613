"""One serving process: the app under uvicorn, from a bound socket to the last answer.

Knows uvicorn, logging and tracing; knows nothing of flags, or of other processes beside this one.
"""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from clairo_core.errors import ClairoError
from service.app import create_app
from service.routes.parts import Parts, Readiness
from service.settings import Settings
from service.telemetry.logs import set_up_logging
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import start_tracing

DRAIN_SECONDS = 20
MAX_HEAD_BYTES = 64 * 1024
"""Of a request's line and headers. By uvicorn's default it is 16 KiB, but only if they come in more than one piece."""


def serve_alone(
    settings: Settings,
    listening: socket.socket,
    tell: Callable[[str], None],
    shared_folder: Path | None = None,
    *,
    is_replacement: bool = False,
) -> str | None:
    """Serve in this process; `tell` is called with a line once that works. Why it could not start, or None."""
    set_up_logging(settings.log_format)
    start_tracing(os.environ)
    failures: list[Exception] = []

    def on_started(outcome: Parts | Exception) -> None:
        if isinstance(outcome, Exception):
            failures.append(outcome)
            server.should_exit = True
        else:
            num_items = outcome.served.live.recommender.catalogue.num_live
            tell(f"CLAIRO serves {num_items} items of bundle {outcome.served.live.bundle_id}.")

    web_app = create_app(settings, on_started=on_started, metrics=Metrics(shared_folder), is_replacement=is_replacement)
    server = _DrainingServer(
        web_app.state.readiness,
        uvicorn.Config(
            web_app,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        ),
    )
    server.run(sockets=[listening])
    for failure in failures:
        if not isinstance(failure, ClairoError):
            raise failure
        return str(failure)
    return None


class _DrainingServer(uvicorn.Server):
    """Says that the service is not ready from the signal on, while the last requests are answered."""

    def __init__(self, readiness: Readiness, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._readiness = readiness

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What the server does on SIGINT and SIGTERM."""
        self._readiness.is_draining = True
        super().handle_exit(sig, frame)
