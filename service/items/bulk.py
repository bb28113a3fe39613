"""The use case of POST /items/bulk: work through jobs in the background, one job at a time, in batches of rows.

Every row is put, and an item that has this content already counts as accepted. A job that resumes after a kill, at
the first row not marked as done, therefore adds nothing twice. Independent of HTTP. Start at `BulkJobs.run`.
"""

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from clairo_core.errors import ClairoError
from clairo_core.items import Item
from service.errors import OverloadedError, PictureUrlError, StoreError
from service.items.ingestion import Ingestion
from service.picture_urls.fetch import PictureUrls, SentItem
from service.store.jobs import Job, JobRow, JobStore

logger = logging.getLogger("clairo.bulk")

BATCH_ROWS = 32
MAX_UNFINISHED_JOBS = 20
POLL_SECONDS = 1.0
BEAT_SECONDS = 1.0
TAKE_OVER_SECONDS = 5.0
RECEIVING_LIFETIME = timedelta(hours=1)
MAX_REASON_CHARACTERS = 500

ReadItem = Callable[[Any], SentItem]


class BulkJobs:
    """A worker on the oldest unfinished job, unless another process on the same store works on it."""

    def __init__(self, jobs: JobStore, ingestion: Ingestion, picture_urls: PictureUrls, read_item: ReadItem) -> None:
        self._jobs = jobs
        self._ingestion = ingestion
        self._picture_urls = picture_urls
        self._read_item = read_item
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
            except StoreError as error:
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
                rows = _with_distinct_ids(await self._read(job.job_id, position))
                rejected = await self._put(rows)
                if not await self._jobs.finish_rows(job.job_id, self._worker, len(rows), rejected):
                    logger.warning("bulk job %s is another process's now", job.job_id)
                    return
                position += len(rows)
        finally:
            beating.cancel()
            with contextlib.suppress(ClairoError):
                await self._jobs.let_go(job.job_id, self._worker)

    async def _beat(self, job_id: str) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with contextlib.suppress(StoreError):
                await self._jobs.beat(job_id, self._worker)

    async def _read(self, job_id: str, position: int) -> "list[_Row]":
        rows = await self._jobs.rows_from(job_id, position, BATCH_ROWS)
        return await asyncio.to_thread(lambda: [_Row(row, self._read_item) for row in rows])

    async def _put(self, rows: "Sequence[_Row]") -> list[JobRow]:
        """Put all valid rows at once, or each by itself if one of them is refused. Return the rejected rows."""
        for row in rows:
            await row.fetch_picture(self._picture_urls)
        try:
            await self._ingestion.put_items([row.item for row in rows if row.item is not None])
        except (StoreError, OverloadedError):
            # The rows are not at fault: the batch is tried again.
            raise
        except Exception:
            for row in rows:
                await self._put_alone(row)
        return [row.rejected() for row in rows if row.reason]

    async def _put_alone(self, row: "_Row") -> None:
        if row.item is None:
            return
        try:
            with row.sent.blaming_url():
                await self._ingestion.put_items([row.item])
        except (StoreError, OverloadedError):
            raise
        except Exception as error:
            row.refuse(error)


class _Row:
    """A row with its item, or with the reason why it is rejected."""

    sent: SentItem

    def __init__(self, row: JobRow, read_item: ReadItem) -> None:
        self._row = row
        self.item: Item | None = None
        self.reason = row.reason or ""
        if row.content is None:
            self.reason = self.reason or "the line was not kept"
            return
        try:
            self.sent = read_item(json.loads(row.content))
            self.item = self.sent.item
        except (ValueError, RecursionError) as error:
            self.refuse(error, "not JSON: ")
        except ClairoError as error:
            self.refuse(error)

    async def fetch_picture(self, picture_urls: PictureUrls) -> None:
        """Fetch the item's picture if it came by url.

        Raises:
            OverloadedError: as many pictures as allowed are being fetched.
        """
        if self.item is None:
            return
        try:
            self.item = await picture_urls.with_picture(self.sent)
        except PictureUrlError as error:
            self.refuse(error)

    def refuse(self, error: Exception, prefix: str = "") -> None:
        """Drop the item and keep the reason."""
        if not isinstance(error, ClairoError | ValueError | RecursionError):
            logger.error("bulk row in line %d", self._row.line, exc_info=error)
            error = ClairoError("internal error; see the service's log")
        self.item = None
        reason = prefix + (str(error).splitlines() or ["no reason given"])[0]
        # A quoted field name may hold characters that no database stores.
        self.reason = "".join(letter if letter.isprintable() else "?" for letter in reason[:MAX_REASON_CHARACTERS])

    def rejected(self) -> JobRow:
        """The row as it is stored after rejection: without its content."""
        return JobRow(self._row.position, self._row.line, None, self.reason)


def _with_distinct_ids(rows: list[_Row]) -> list[_Row]:
    """The first rows, up to one that repeats an item's id. It goes to the next batch: the last row of an item wins."""
    item_ids: set[str] = set()
    for place, row in enumerate(rows):
        if row.item is not None:
            if row.item.item_id in item_ids:
                return rows[:place]
            item_ids.add(row.item.item_id)
    return rows
