"""The rows of POST /items/bulk: every row is put, and an item that has this content already counts as accepted.

Independent of HTTP. Start at `ItemRows.work_from`.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from clairo_core.errors import ClairoError
from clairo_core.items import Item
from service.errors import OverloadedError, PictureUrlError, StoreError
from service.items.ingestion import Ingestion
from service.jobs.bulk import reason_of
from service.picture_urls.fetch import PictureUrls, SentItem
from service.store.jobs import Job, JobRow, JobStore, RowsDone

BATCH_ROWS = 32

ReadItem = Callable[[Any], SentItem]


class ItemRows:
    """Puts the items of a job's rows."""

    def __init__(self, jobs: JobStore, ingestion: Ingestion, picture_urls: PictureUrls, read_item: ReadItem) -> None:
        self._jobs = jobs
        self._ingestion = ingestion
        self._picture_urls = picture_urls
        self._read_item = read_item

    async def work_from(self, job: Job, position: int) -> RowsDone:
        """Put the next rows, up to one that repeats an item's id."""
        rows = _with_distinct_ids(await self._read(job.job_id, position))
        return RowsDone(len(rows), await self._put(rows))

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
        self.item = None
        self.reason = reason_of(error, self._row, prefix)

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
