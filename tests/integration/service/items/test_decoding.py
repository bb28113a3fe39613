"""A sent picture is decoded once, and refused if it cannot be decoded."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from clairo_core.bundle.bundle import Bundle
from clairo_core.encoders.pictures import decode_picture
from clairo_core.errors import ContentError
from tests.hostile_pictures import HOSTILE_PICTURES
from tests.picture_host import FakeHost, pictures_from, running_host
from tests.running_service import drawn_picture, running_service

URL = "http://old.test/mug.png"
PICTURE = drawn_picture()
IN_BASE64 = base64.b64encode(PICTURE).decode()
DAMAGED_IN_BASE64 = base64.b64encode(PICTURE[:100]).decode()


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    async with running_host() as host:
        host.will_answer("200 OK", PICTURE)
        yield host


@pytest.fixture
async def client(bundle: Bundle, host: FakeHost) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, picture_urls=pictures_from(host)) as client:
        yield client


@pytest.fixture
def num_decoded(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts decoded pictures since the start of the service."""
    opened: list[PngImageFile] = []
    really_open = PngImageFile._open

    def counting(image: PngImageFile) -> None:
        opened.append(image)
        really_open(image)

    monkeypatch.setattr(PngImageFile, "_open", counting)
    return lambda: len(opened)


async def bulk(client: httpx.AsyncClient, *rows: dict[str, Any]) -> dict[str, Any]:
    body = "\n".join(json.dumps(row) for row in rows)
    job = await client.post("/items/bulk", content=body, headers={"Content-Type": "application/x-ndjson"})
    async with asyncio.timeout(60):
        while (done := (await client.get(job.headers["location"])).json())["state"] != "done":
            await asyncio.sleep(0.02)
    return done  # type: ignore[no-any-return]


@pytest.mark.parametrize("picture", [{"picture": IN_BASE64}, {"picture_url": URL}])
async def test_a_posted_picture_is_decoded_once(
    client: httpx.AsyncClient, num_decoded: Callable[[], int], picture: dict[str, str]
) -> None:
    assert (await client.post("/items", json={"item_id": "mug", **picture})).status_code == 201
    assert num_decoded() == 1


@pytest.mark.parametrize("picture", [{"picture": IN_BASE64}, {"picture_url": URL}])
async def test_a_put_picture_is_decoded_once_for_a_new_item_and_once_for_a_known_one(
    client: httpx.AsyncClient, num_decoded: Callable[[], int], picture: dict[str, str]
) -> None:
    assert (await client.put("/items/mug", json=picture)).status_code == 201
    assert num_decoded() == 1
    assert (await client.put("/items/mug", json=picture)).status_code == 200
    assert num_decoded() == 2


async def test_pictures_of_a_bulk_job_are_decoded_once(
    client: httpx.AsyncClient, num_decoded: Callable[[], int]
) -> None:
    rows = [{"item_id": f"mug-{n}", "picture": IN_BASE64} for n in range(4)]
    assert (await bulk(client, *rows, {"item_id": "by url", "picture_url": URL}))["num_accepted"] == 5
    assert num_decoded() == 5


async def test_a_damaged_picture_is_refused_new_known_or_posted_again(
    client: httpx.AsyncClient, bundle: Bundle, host: FakeHost
) -> None:
    known = bundle.catalogue.item_ids[0]
    host.will_answer("200 OK", PICTURE[:100])
    for picture, status in (({"picture": DAMAGED_IN_BASE64}, 415), ({"picture_url": URL}, 422)):
        for answer in (
            await client.post("/items", json={"item_id": "mug", "title": "Mug", **picture}),
            await client.post("/items", json={"item_id": known, "title": "Mug", **picture}),
            await client.put("/items/mug", json={"title": "Mug", **picture}),
            await client.put(f"/items/{known}", json={"title": "Mug", **picture}),
        ):
            assert answer.status_code == status, answer.text
            assert "cut short" in answer.json()["detail"]
    assert (await client.get("/items/mug")).status_code == 404


async def test_a_damaged_picture_rejects_its_row_alone(client: httpx.AsyncClient, host: FakeHost) -> None:
    host.will_answer("200 OK", PICTURE[:100])
    done = await bulk(
        client,
        {"item_id": "a", "title": "A", "picture": IN_BASE64},
        {"item_id": "b", "title": "B", "picture": DAMAGED_IN_BASE64},
        {"item_id": "c", "title": "C", "picture_url": URL},
        {"item_id": "d", "title": "D"},
    )
    assert (done["num_accepted"], [row["line"] for row in done["rejected"]]) == (2, [2, 3])
    assert "the picture that old.test sent cannot be used" in done["rejected"][1]["reason"]


@pytest.mark.parametrize("name", HOSTILE_PICTURES)
def test_an_encoders_decoding_refuses_what_a_whole_decoding_refuses(name: str) -> None:
    """Encoders decode large JPEGs at a fraction of their size; damage must still show."""
    content, _ = HOSTILE_PICTURES[name]
    assert outcome(content, None) == outcome(content, 16)


@pytest.mark.parametrize("is_progressive", [False, True])
def test_a_large_jpeg_cut_anywhere_is_refused_at_any_size(is_progressive: bool) -> None:
    whole = drawn_jpeg(is_progressive)
    for end in range(0, len(whole), len(whole) // 40):
        assert outcome(whole[:end], None) == outcome(whole[:end], 64), end


def drawn_jpeg(is_progressive: bool) -> bytes:
    pixels = np.random.default_rng(0).integers(256, size=(40, 40, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((1024, 768)).save(file, "JPEG", progressive=is_progressive)
    return file.getvalue()


def outcome(content: bytes, shortest_side: int | None) -> type[Exception] | None:
    try:
        decode_picture(content, shortest_side=shortest_side)
    except ContentError as error:
        return type(error)
    return None
