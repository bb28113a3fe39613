"""Run the service for a test: in-process without a network, or as a process that can be killed."""

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
from PIL import Image

from clairo_core.bundle.bundle import Bundle
from service.app import create_app
from service.picture_urls.fetch import PictureUrls
from service.routes.parts import Parts
from service.settings import Settings
from tests.fresh_processes import ForkedProcess
from tests.repository import REPOSITORY

START_SECONDS = 120


@asynccontextmanager
async def running_service(
    bundle: Bundle, *, picture_urls: PictureUrls | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a ready service. The database is in memory unless `settings` name one."""
    # Counts change answers a while after feedback: tests of them choose the while.
    fixed = {"database_url": "sqlite:///:memory:", "device": "cpu", "live_counts_seconds": 0}
    chosen = fixed | {"num_views": 2, "num_beams": 20}
    # The client below calls it by this name.
    chosen = chosen | {"allowed_hosts": "service"} | settings
    started: asyncio.Future[Parts | Exception] = asyncio.get_running_loop().create_future()
    app = create_app(
        Settings(bundle=bundle.folder, **chosen), bundle, on_started=started.set_result, picture_urls=picture_urls
    )
    async with app.router.lifespan_context(app):
        outcome = await started
        if isinstance(outcome, Exception):
            raise outcome
        # Unforeseen errors must arrive as answers, not through the transport.
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            yield client


class ServiceProcess:
    """`clairo-serve run` as a process of its own: a fork, or with further threads or workers a new interpreter."""

    def __init__(
        self,
        bundle: Path | str,
        data_dir: Path,
        *flags: str,
        threads: int | None = 1,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`threads` are torch's; with None the service chooses. `settings` are variables, for those without a flag."""
        words = ["run", "--bundle", str(bundle), "--data-dir", str(data_dir), "--port", "0", "--device", "cpu"]
        words += ["--num-views", "2", "--num-beams", "20", *flags]
        self.process: ForkedProcess | subprocess.Popen[str]
        # Numbers of threads and the folder of workers' metrics are read at import.
        if threads == 1 and "--workers" not in flags:
            self.process = ForkedProcess(["clairo-serve", *words], REPOSITORY, settings)
        else:
            self.process = _new_interpreter(words, threads, settings)
        self.lines: list[str] = []
        self.url = ""
        self._is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> str:
        """Wait and return the service's url, without a trailing slash."""
        is_ready = self._is_ready.wait(START_SECONDS)
        if not is_ready or not self.url:
            self.kill()
            raise RuntimeError("the service did not start:\n" + "".join(self.lines))
        return self.url

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self._close()
        return code

    def _close(self) -> None:
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> None:
        if self.process.stdout is None:
            return
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(r"Playground: (http://\S+)/", line):
                self.url = found[1]
                self._is_ready.set()
        self._is_ready.set()


def _new_interpreter(words: Sequence[str], threads: int | None, settings: Mapping[str, str]) -> "subprocess.Popen[str]":
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CLAIRO_") and name != "OMP_NUM_THREADS"
    }
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli", *words],
        cwd=REPOSITORY,
        env=environment | {"PYTHONUNBUFFERED": "1"} | dict(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def running_process(
    bundle: Path | str,
    data_dir: Path,
    *flags: str,
    threads: int | None = 1,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[ServiceProcess]:
    """A ready process, stopped at the end of the test."""
    service = ServiceProcess(bundle, data_dir, *flags, threads=threads, settings=settings)
    try:
        service.wait_until_ready()
        yield service
    finally:
        if service.process.poll() is None:
            service.terminate()


def drawn_picture(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (48, 48)) -> bytes:
    """An encoded picture of coloured blocks."""
    blocks = np.random.default_rng(seed).integers(256, size=(6, 6, 3)).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(encoded, kind)
    return encoded.getvalue()
