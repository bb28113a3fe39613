"""A batch of bulk rows holds a bounded size of pictures, waits a bounded time, and loses none that it has fetched."""

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from clairo_core.items import Item
from service.errors import OverloadedError
from service.items import bulk
from service.items.bulk import ItemRows
from service.picture_urls.fetch import PictureUrls, SentItem
from service.store.jobs import JobRow

NUM_ROWS = 7


JOB: Any = SimpleNamespace(job_id="job")


class FakeJobs:
    """The rows of one job."""

    async def rows_from(self, job_id: str, position: int, limit: int) -> list[JobRow]:
        rows = [
            JobRow(number, number + 1, json.dumps({"item_id": f"item-{number}"}).encode()) for number in range(NUM_ROWS)
        ]
        return rows[position : position + limit]


class FakePictures(PictureUrls):
    """Pictures of 10 bytes, until `num_free` are fetched."""

    def __init__(self, num_free: int = NUM_ROWS) -> None:
        super().__init__({})
        self.num_free = num_free

    async def fetch(self, text: str) -> bytes:
        if not self.num_free:
            raise OverloadedError("too many pictures are being fetched; retry in a second")
        self.num_free -= 1
        return b"0123456789"


class MeetingPictures(FakePictures):
    """Sends none of the first pictures before so many were asked for; then it is busy."""

    def __init__(self, at_once: int) -> None:
        super().__init__(num_free=at_once)
        self.all_asked = asyncio.Barrier(at_once)

    async def fetch(self, text: str) -> bytes:
        picture = await super().fetch(text)
        await self.all_asked.wait()
        return picture


def rows_with(pictures: PictureUrls, written: list[str]) -> ItemRows[Item]:
    async def write(sent: Sequence[SentItem[Item]]) -> None:
        assert all(one.item.picture for one in sent)
        written.extend(one.item.item_id for one in sent)

    def read_item(fields: dict[str, str]) -> SentItem[Item]:
        return SentItem(Item(item_id=fields["item_id"]), picture_url="http://old.test/mug.png")

    jobs: Any = FakeJobs()
    return ItemRows(jobs, write, pictures, read_item)


async def test_a_batch_ends_once_its_pictures_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BYTES_AT_ONCE", 25)
    written: list[str] = []
    rows, position = rows_with(FakePictures(), written), 0
    for num_rows in (4, 3):
        assert (await rows.work_from(JOB, position)).num_rows == num_rows
        position += num_rows
    assert written == [f"item-{number}" for number in range(NUM_ROWS)]


async def test_a_batch_ends_once_its_pictures_have_taken_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "FETCH_SECONDS", 0.0)
    rows = rows_with(FakePictures(), [])
    assert (await rows.work_from(JOB, 0)).num_rows == 4


async def test_pictures_are_fetched_some_at_once() -> None:
    pictures = MeetingPictures(at_once=4)
    assert (await rows_with(pictures, []).work_from(JOB, 0)).num_rows == 4


async def test_pictures_fetched_before_the_service_was_busy_are_written() -> None:
    written: list[str] = []
    pictures = FakePictures(num_free=2)
    rows = rows_with(pictures, written)
    assert (await rows.work_from(JOB, 0)).num_rows == 2
    with pytest.raises(OverloadedError):
        await rows.work_from(JOB, 2)
    pictures.num_free = NUM_ROWS
    assert (await rows.work_from(JOB, 2)).num_rows == 5
    assert written == [f"item-{number}" for number in range(NUM_ROWS)]
