"""Run a shop's back end as an operator does: two workers, PostgreSQL and Redis, each a process that can be killed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.service.service_process import OUTPUT_FILE, ServiceProcess, serving_module
from benchmarks.shop import shifted_clock
from benchmarks.shop.shelf import Shelf, fill_shelf
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisProcess, running_redis

NUM_WORKERS = 2
DEADLINE_SECONDS = 5.0
"""Longer than a shop's page would wait."""
JOBS_DONE_SECONDS = 120


@dataclass(frozen=True)
class Shop:
    """All running parts of a shop."""

    name: str
    """Description of the served bundle."""
    service: ServiceProcess
    postgres: PostgresServer
    redis: RedisProcess
    shelf: Shelf
    database_url: str
    data_dir: Path
    clock: Path
    """File that sets the service's clock; see `shifted_clock`."""

    def rows_of(self, query: str) -> list[list[str]]:
        """Rows that the database answers, as text."""
        database = urlsplit(self.database_url).path.removeprefix("/")
        return [line.split("|") for line in self.postgres.execute(query, database).splitlines()]

    def wait_for_jobs(self) -> None:
        """Wait until no bulk job is waiting or running."""
        give_up_at = time.monotonic() + JOBS_DONE_SECONDS
        while self.rows_of("SELECT 1 FROM jobs WHERE state IN ('waiting', 'running') LIMIT 1"):
            if time.monotonic() > give_up_at:
                raise SystemExit(f"bulk jobs are not done after {JOBS_DONE_SECONDS} seconds")
            time.sleep(0.2)

    @property
    def log(self) -> str:
        """Output of the service so far."""
        return (self.data_dir / OUTPUT_FILE).read_text(encoding="utf-8", errors="replace")

    @property
    def is_whole(self) -> bool:
        """Whether every ended worker has been replaced."""
        return self.log.count("another one starts") == self.log.count("serves in place of one that ended")

    def num_tracebacks(self) -> int:
        """Number of unhandled errors in the service's log."""
        return self.log.count("Traceback")


@contextmanager
def running_shop(
    folder: Path, bundle: Path | None = None, *, can_set_clock: bool = False, **settings: object
) -> Iterator[Shop]:
    """Start a shop with its files in `folder`, and with its own clock if `can_set_clock`.

    `settings` are those of `service.settings`, by name.
    """
    name, shelf = fill_shelf(folder / "bundles", bundle)
    postgres = PostgresServer()
    try:
        postgres.start()
        database_url = postgres.new_database()
        with running_redis(folder) as redis:
            chosen: dict[str, object] = {
                "workers": NUM_WORKERS,
                "database_url": database_url,
                "migrate": True,
                "redis_url": redis.url,
                "bundles_dir": shelf.folder,
                "request_deadline_seconds": DEADLINE_SECONDS,
            }
            clock = folder / "clock"
            shifted_clock.set_clock(clock, 0.0)
            module = shifted_clock.__name__ if can_set_clock else "service.cli"
            variables = {shifted_clock.FILE_VARIABLE: str(clock)}
            data_dir = folder / "data"
            with serving_module(module, shelf.serving_folder, data_dir, chosen | settings, **variables) as service:
                yield Shop(name, service, postgres, redis, shelf, database_url, data_dir, clock)
    finally:
        postgres.delete()
