"""Ids at the edges: a bundle that an older training made of odd ids keeps working, and every user can be forgotten."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from typer.testing import CliRunner

from clairo_client.calls.call import quoted
from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from service.cli.commands import app
from tests.running_service import running_service
from tests.tiny import tiny_bundle
from training.datasets import load_dataset

LINES, SPACED, LONG = "a\nb", " mug ", "x" * 300
ODD = (LINES, SPACED, LONG, "a/../b", "cup/similar")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", ids=dict(enumerate(ODD))))


@pytest.fixture
async def client(bundle: Bundle, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, data_dir=tmp_path / "store", database_url="") as client:
        yield client


async def test_items_of_an_old_bundle_with_odd_ids_are_recommended_read_and_retired(client: httpx.AsyncClient) -> None:
    answer = await client.post("/recommend", json={"history": ["item-9"], "limit": 100})
    assert {item["item_id"] for item in answer.json()["items"]} >= set(ODD)
    for item_id in (LINES, SPACED, LONG):
        read = await client.get(f"/items/{quote(item_id, safe='')}")
        assert read.status_code == 200, item_id
        assert read.json()["item_id"] == item_id
    used = await client.post("/recommend", json={"history": [LINES, SPACED, "a/../b"], "exclude_item_ids": [LINES]})
    assert used.json()["ignored_item_ids"] == []
    event = {"event_id": "1", "user_id": "ann", "item_id": LINES, "type": "click"}
    assert (await client.post("/feedback", json={"events": [event]})).json()["results"][0]["is_known_item"]
    assert (await client.delete(f"/items/{quote(LINES, safe='')}")).status_code == 204
    answer = await client.post("/recommend", json={"history": ["item-9"], "limit": 100})
    assert LINES not in {item["item_id"] for item in answer.json()["items"]}


@pytest.mark.parametrize("item_id", ODD)
async def test_a_new_item_with_an_odd_id_is_refused(client: httpx.AsyncClient, item_id: str) -> None:
    answer = await client.post("/items", json={"item_id": item_id, "title": "A mug"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["item_id"]


def test_an_export_leaves_out_and_counts_what_training_would_refuse(bundle: Bundle, tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        app,
        [
            "export",
            "--out",
            str(tmp_path / "out"),
            "--data-dir",
            str(tmp_path / "store"),
            "--bundle",
            str(bundle.folder),
        ],
    )
    assert ran.exit_code == 0, ran.output
    assert f"{len(bundle.items) - len(ODD)} items" in ran.stdout
    assert f"{len(ODD)} items left out for their ids, such as 'a\\nb'" in ran.stdout
    lines = (tmp_path / "out" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    row = {"user_id": "ann", "item_id": "item-9", "timestamp": 1, "type": "view"}
    (tmp_path / "out" / "interactions.jsonl").write_text(json.dumps(row) + "\n")
    assert len(load_dataset(tmp_path / "out").items) == len(lines) == len(bundle.items) - len(ODD)


@pytest.mark.parametrize("user_id", ["a\nb", " ann ", "..", ".", "a/../b", "https://id.example.org/7", "u" * 256])
async def test_every_user_that_feedback_accepts_can_be_read_and_forgotten(
    client: httpx.AsyncClient, user_id: str
) -> None:
    event = {"event_id": "1", "user_id": user_id, "item_id": "item-9", "type": "click"}
    assert (await client.post("/feedback", json={"events": [event]})).json()["num_accepted"] == 1
    path = f"/users/{quoted(user_id)}"
    read = (await client.get(path)).json()
    assert (read["user_id"], [kept["event_id"] for kept in read["events"]]) == (user_id, ["1"])
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).json()["events"] == []


@pytest.mark.parametrize("user_id", ["", "u" * 257, "a\0b"])
async def test_an_id_that_feedback_refuses_is_refused_everywhere(client: httpx.AsyncClient, user_id: str) -> None:
    event = {"event_id": "1", "user_id": user_id, "item_id": "item-9", "type": "click"}
    assert (await client.post("/feedback", json={"events": [event]})).status_code == 422
    assert (await client.post("/recommend", json={"user_id": user_id})).status_code == 422
    assert (await client.get(f"/users/{quoted(user_id)}")).status_code == 422
