"""Work through jobs in the background, one job at a time, in batches of rows. Start at `BulkJobs.run`.

A job resumes after a kill at the first row not marked as done; `RowWork` therefore does a row twice without harm.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

from clairo_core.errors import ClairoError
from service.errors import OverloadedError, StoreError
from service.store.jobs import Job, JobKind, JobRow, JobStore, RowsDone

logger = logging.getLogger("clairo.bulk")

MAX_UNFINISHED_JOBS = 20
POLL_SECONDS = 1.0
BEAT_SECONDS = 1.0
TAKE_OVER_SECONDS = 5.0
RECEIVING_LIFETIME = timedelta(hours=1)
MAX_REASON_CHARACTERS = 500


class RowWork(Protocol):
    """The work on jobs of one kind."""

    async def work_from(self, job: Job, position: int) -> RowsDone:
        """Do at least one row, from this position on.

        Raises:
            StoreError, OverloadedError: nothing was done; the rows are tried again.
        """


class BulkJobs:
    """A worker on the oldest unfinished job, unless another process on the same store works on it."""

    def __init__(self, jobs: JobStore, work: Mapping[JobKind, RowWork]) -> None:
        self._jobs = jobs
        self._work = work
        self._worker = uuid.uuid4().hex
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._seen: tuple[str, int] | None = None
        self._seen_at = 0.0

    async def start(self) -> None:
        """Start working in the background."""
        await self._jobs.discard_half_received(datetime.now(UTC) - RECEIVING_LIFETIME)
        self._running = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """Stop, and leave unfinished rows to the next process that starts."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    def wake(self) -> None:
        """Look for a job now, without waiting for the next poll."""
        self._wake.set()

    async def run(self) -> None:
        """Work on jobs in order of arrival, until cancelled."""
        while True:
            self._wake.clear()
            try:
                job = await self._jobs.next_unfinished()
                if job is not None and self._may_take(job) and await self._jobs.take(job, self._worker):
                    await self._work_on(job)
                    continue
            except (StoreError, OverloadedError) as error:
                logger.warning("bulk jobs wait: %s", error)
            except Exception:
                logger.exception("a bulk job waits")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    def _may_take(self, job: Job) -> bool:
        """Whether the job has no live worker: its heartbeat has not moved for `TAKE_OVER_SECONDS`."""
        if job.worker in (None, self._worker):
            return True
        seen = (job.job_id, job.heartbeat)
        if seen != self._seen:
            self._seen, self._seen_at = seen, time.monotonic()
        return time.monotonic() - self._seen_at >= TAKE_OVER_SECONDS

    async def _work_on(self, job: Job) -> None:
        logger.info("bulk job %s: from row %d of %d", job.job_id, job.num_done, job.num_rows)
        beating = asyncio.create_task(self._beat(job.job_id))
        try:
            position = job.num_done
            while position < job.num_rows:
                done = await self._work[job.kind].work_from(job, position)
                if not await self._jobs.finish_rows(job.job_id, self._worker, done):
                    logger.warning("bulk job %s is another process's now", job.job_id)
                    return
                position += done.num_rows
        finally:
            beating.cancel()
            with contextlib.suppress(ClairoError):
                await self._jobs.let_go(job.job_id, self._worker)

    async def _beat(self, job_id: str) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with contextlib.suppress(StoreError):
                await self._jobs.beat(job_id, self._worker)


def reason_of(error: Exception, row: JobRow, prefix: str = "") -> str:
    """The reason for which a row is rejected, fit for every database; an unforeseen error is logged."""
    if not isinstance(error, ClairoError | ValueError | RecursionError):
        logger.error("bulk row in line %d", row.line, exc_info=error)
        error = ClairoError("internal error; see the service's log")
    reason = prefix + (str(error).splitlines() or ["no reason given"])[0]
    # A quoted field name may hold characters that no database stores.
    return "".join(letter if letter.isprintable() else "?" for letter in reason[:MAX_REASON_CHARACTERS])
