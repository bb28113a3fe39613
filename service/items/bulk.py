"""The rows of POST and PATCH /items/bulk: items to put, or patches; one that changes nothing counts as accepted.

Independent of HTTP. Start at `ItemRows.work_from`.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Generic

from clairo_core.errors import ClairoError
from service.errors import OverloadedError, PictureUrlError, StoreError
from service.jobs.bulk import reason_of
from service.picture_urls.fetch import Content, PictureUrls, SentItem
from service.store.jobs import BYTES_AT_ONCE, Job, JobRow, JobStore, RowsDone

BATCH_ROWS = 256
"""Of items, which have to be described: enough for all processes that encode pictures."""
BATCH_PATCHES = 500
FETCHED_AT_ONCE = 4
"""Half of what the service fetches at once; single posts keep the other half."""
FETCH_SECONDS = 5.0
"""A batch ends once fetching has taken this long, so that slow hosts hold up only what they have not sent."""

ReadItem = Callable[[Any], SentItem[Content]]
WriteItems = Callable[[Sequence[SentItem[Content]]], Awaitable[object]]


class ItemRows(Generic[Content]):
    """Writes the items, or patches, of a job's rows.

    Args:
        jobs: has the rows.
        write: writes all of them, or none.
        picture_urls: fetches pictures.
        read_item: reads a row's JSON.
        batch_rows: how many to write at once.
    """

    def __init__(
        self,
        jobs: JobStore,
        write: WriteItems[Content],
        picture_urls: PictureUrls,
        read_item: ReadItem[Content],
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._jobs = jobs
        self._write = write
        self._picture_urls = picture_urls
        self._read_item = read_item
        self._batch_rows = batch_rows

    async def work_from(self, job: Job, position: int) -> RowsDone:
        """Write the next rows, up to one that repeats an item's id or until their pictures are large or slow.

        Raises:
            StoreError, OverloadedError: nothing was written.
        """
        rows = await self._with_pictures(_with_distinct_ids(await self._read(job.job_id, position)))
        return RowsDone(len(rows), await self._write_rows(rows))

    async def _read(self, job_id: str, position: int) -> "list[_Row[Content]]":
        rows = await self._jobs.rows_from(job_id, position, self._batch_rows)
        return await asyncio.to_thread(lambda: [_Row(row, self._read_item) for row in rows])

    async def _with_pictures(self, rows: "list[_Row[Content]]") -> "list[_Row[Content]]":
        """Fetch pictures, a few at once. Return the first rows, up to where pictures became large or slow.

        At most `FETCHED_AT_ONCE` pictures go beyond `BYTES_AT_ONCE`.
        """
        num_bytes, began = 0, time.monotonic()
        for begin in range(0, len(rows), FETCHED_AT_ONCE):
            if num_bytes > BYTES_AT_ONCE or (begin and time.monotonic() - began >= FETCH_SECONDS):
                return rows[:begin]
            some = rows[begin : begin + FETCHED_AT_ONCE]
            fetched = await asyncio.gather(*(row.fetch_picture(self._picture_urls) for row in some))
            for place, size in enumerate(fetched, begin):
                if size is None and place == 0:
                    raise OverloadedError("as many pictures as allowed are being fetched; retry in a second")
                if size is None:
                    # Pictures of the rows before it need not be fetched twice.
                    return rows[:place]
                num_bytes += size
        return rows

    async def _write_rows(self, rows: "Sequence[_Row[Content]]") -> list[JobRow]:
        """Write all valid rows at once. Return the rejected rows."""
        valid = [row for row in rows if row.sent is not None]
        if valid:
            await self._write_valid(valid)
        return [row.rejected() for row in rows if row.reason]

    async def _write_valid(self, rows: "Sequence[_Row[Content]]") -> None:
        """Write rows together; where one of them is refused, in halves, until it is alone."""
        try:
            if len(rows) == 1 and rows[0].sent is not None:
                with rows[0].sent.blaming_url():
                    await self._write([rows[0].sent])
            else:
                await self._write([row.sent for row in rows if row.sent is not None])
        except (StoreError, OverloadedError):
            # The rows are not at fault: the batch is tried again.
            raise
        except Exception as error:
            if len(rows) == 1:
                rows[0].refuse(error)
                return
            half = len(rows) // 2
            await self._write_valid(rows[:half])
            await self._write_valid(rows[half:])


class _Row(Generic[Content]):
    """A row with its item, or with the reason why it is rejected."""

    def __init__(self, row: JobRow, read_item: ReadItem[Content]) -> None:
        self._row = row
        self.sent: SentItem[Content] | None = None
        self.reason = row.reason or ""
        if row.content is None:
            self.reason = self.reason or "the line was not kept"
            return
        try:
            self.sent = read_item(json.loads(row.content))
        except (ValueError, RecursionError) as error:
            self.refuse(error, "not JSON: ")
        except ClairoError as error:
            self.refuse(error)

    async def fetch_picture(self, picture_urls: PictureUrls) -> int | None:
        """Fetch the item's picture if it came by url. Return the size of the item's picture in bytes.

        None if as many pictures as allowed are being fetched already.
        """
        if self.sent is None:
            return 0
        try:
            item = await picture_urls.with_picture(self.sent)
        except OverloadedError:
            return None
        except PictureUrlError as error:
            self.refuse(error)
            return 0
        self.sent = replace(self.sent, item=item)
        return len(item.picture) if isinstance(item.picture, bytes) else 0

    def refuse(self, error: Exception, prefix: str = "") -> None:
        """Drop the item and keep the reason."""
        self.sent = None
        self.reason = reason_of(error, self._row, prefix)

    def rejected(self) -> JobRow:
        """The row as it is stored after rejection: without its content."""
        return JobRow(self._row.position, self._row.line, None, self.reason)


def _with_distinct_ids(rows: list[_Row[Content]]) -> list[_Row[Content]]:
    """The first rows, up to one that repeats an item's id. It goes to the next batch: the last row of an item wins."""
    item_ids: set[str] = set()
    for place, row in enumerate(rows):
        if row.sent is not None:
            if row.sent.item.item_id in item_ids:
                return rows[:place]
            item_ids.add(row.sent.item.item_id)
    return rows
