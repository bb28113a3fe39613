"""Swap the served bundle: verified, warmed up, with posted items, and back again."""

import asyncio
import gc
import json
import shutil
import sys
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import digests_of, read_manifest
from clairo_core.encoders.onnx_encoder import OnnxImageEncoder, write_export_header
from clairo_core.encoders.picture_preparation import PicturePreparation
from service.app import open_parts
from service.bundles import shelf
from service.bundles.shelf import BundleShelf
from service.settings import Settings
from tests.running_service import running_service
from tests.tiny import tiny_bundle

MUG = {"item_id": "posted-mug", "title": "blue mug 99", "description": "A mug for every day, in blue."}


@pytest.fixture
def bundles(made: Path, tmp_path: Path) -> Path:
    """Copies for a test to damage."""
    return Path(shutil.copytree(made, tmp_path / "bundles"))


def id_of(folder: Path) -> str:
    return read_manifest(folder).bundle_id


def measured(folder: Path, ndcg: float | None) -> None:
    """Give a bundle another evaluation; the manifest has no digest of itself."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["metrics"] = {} if ndcg is None else {"ndcg@10": ndcg}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def serving(bundles: Path, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    database = f"sqlite:///{bundles.parent / 'clairo.db'}"
    return running_service(
        load_bundle(bundles / "first"), **{"bundles_dir": bundles, "database_url": database} | settings
    )


@pytest.fixture
async def client(bundles: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(bundles) as client:
        yield client


async def activate(client: httpx.AsyncClient, bundle_id: str, **query: Any) -> httpx.Response:
    return await client.post(f"/bundles/{bundle_id}/activate", params=query, timeout=60)


async def test_the_list_marks_the_served_bundle_and_unreadable_ones(client: httpx.AsyncClient, bundles: Path) -> None:
    (bundles / "no-bundle").mkdir()
    (bundles / ".second.writing").mkdir()
    listed = (await client.get("/bundles")).json()["bundles"]
    assert [(bundle["name"], bundle["is_serving"]) for bundle in listed] == [
        ("first", True),
        ("no-bundle", False),
        ("second", False),
    ]
    assert "no bundle here" in listed[1]["problem"]
    assert str(bundles) not in str(listed)


async def test_a_bundle_is_shown_with_the_metrics_of_its_manifest(client: httpx.AsyncClient, bundles: Path) -> None:
    measured(bundles / "second", 0.25)
    shown = (await client.get(f"/bundles/{id_of(bundles / 'second')}")).json()
    assert (shown["name"], shown["is_serving"], shown["ndcg_at_10"]) == ("second", False, 0.25)
    assert shown["metrics"] == {"ndcg@10": 0.25}
    assert shown["encoders"].keys() == {"text", "image"}
    assert (await client.get("/bundles/nothing")).status_code == 404


async def test_posted_items_come_along_and_activating_the_previous_bundle_rolls_back(
    client: httpx.AsyncClient, bundles: Path
) -> None:
    first, second = id_of(bundles / "first"), id_of(bundles / "second")
    assert (await client.post("/items", json=MUG)).status_code == 201
    under_first = (await client.get("/items/posted-mug")).json()
    answer = await activate(client, second)
    assert answer.json() == {"bundle_id": second, "previous_bundle_id": first, "catalogue_version": 2}
    under_second = (await client.get("/items/posted-mug")).json()
    assert under_second["bundle_id"] == second
    recommended = (await client.post("/recommend", json={"history": ["posted-mug"], "limit": 40})).json()
    assert recommended["bundle_id"] == second
    assert recommended["ignored_item_ids"] == []
    # Items posted under either bundle are there under both.
    assert (await client.post("/items", json=MUG | {"item_id": "second-mug"})).status_code == 201
    back = await activate(client, first)
    assert back.json()["catalogue_version"] == 3
    assert (await client.get("/items/posted-mug")).json()["feature_set"] == under_first["feature_set"]
    assert (await client.get("/items/second-mug")).json()["bundle_id"] == first


async def test_no_request_fails_while_bundles_are_swapped(client: httpx.AsyncClient, bundles: Path) -> None:
    ids = id_of(bundles / "first"), id_of(bundles / "second")
    is_over = False
    seen: set[str] = set()

    async def keep_asking(number: int) -> int:
        count = 0
        while not is_over:
            body = {"history": [f"item-{(number + count) % 40}"], "limit": 5, "seed": count}
            answer = await client.post("/recommend", json=body)
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["items"]) == 5
            seen.add(answer.json()["bundle_id"])
            count += 1
        return count

    asking = [asyncio.create_task(keep_asking(number)) for number in range(4)]
    for bundle_id in (ids[1], ids[0], ids[1]):
        assert (await activate(client, bundle_id)).status_code == 200
        posted = await client.post("/items", json=MUG | {"item_id": f"mug-of-{len(seen)}-{bundle_id}-{id(seen)}"[:60]})
        assert posted.status_code in (201, 409)
    is_over = True
    assert min(await asyncio.gather(*asking)) > 0
    assert seen == set(ids)


async def test_a_damaged_bundle_is_refused_by_the_name_of_its_file_and_the_served_one_stays(
    client: httpx.AsyncClient, bundles: Path
) -> None:
    weights = bundles / "second" / "generator" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    answer = await activate(client, id_of(bundles / "second"))
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:clairo:problem:damaged-bundle")
    assert "model.safetensors" in answer.json()["detail"]
    assert (await client.get("/info")).json()["bundle_id"] == id_of(bundles / "first")


async def test_a_bundle_whose_encoder_library_is_missing_is_refused_and_the_served_one_stays(
    client: httpx.AsyncClient, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(bundles / "second" / "encoders" / "image")
    write_export_header(
        bundles / "second" / "encoders" / "image",
        OnnxImageEncoder.kind,
        "some-model",
        dim=8,
        preparation=PicturePreparation(8, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).as_header(),
    )
    manifest = json.loads((bundles / "second" / "manifest.json").read_text())
    manifest["files"] = digests_of(bundles / "second")
    (bundles / "second" / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    answer = await activate(client, id_of(bundles / "second"))
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:clairo:problem:unusable-bundle")
    assert "pip install 'clairo[encoders]'" in answer.json()["detail"]
    assert (await client.get("/info")).json()["bundle_id"] == id_of(bundles / "first")


@pytest.mark.parametrize("ndcg", [0.19, None])
async def test_a_bundle_that_measured_worse_or_not_at_all_is_refused_without_allow_worse(
    bundles: Path, ndcg: float | None
) -> None:
    measured(bundles / "first", 0.2)
    measured(bundles / "second", ndcg)
    second = id_of(bundles / "second")
    async with serving(bundles) as client:
        refused = await activate(client, second)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:clairo:problem:worse-bundle")
        assert "allow_worse" in refused.json()["detail"]
        assert (await activate(client, second, allow_worse="true")).status_code == 200
        # Back to the bundle that it replaced, without a comparison.
        measured(bundles / "first", None)
        assert (await activate(client, id_of(bundles / "first"))).status_code == 200


async def roll_back(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/bundles/rollback", timeout=60)


async def test_rolling_back_returns_to_the_bundle_served_before_and_then_to_the_one_before_that(
    bundles: Path,
) -> None:
    tiny_bundle(bundles / "third", num_items=40, seed=2)
    first, second, third = (id_of(bundles / name) for name in ("first", "second", "third"))
    # What was served before needs no figures.
    measured(bundles / "first", None)
    async with serving(bundles) as client:
        refused = await roll_back(client)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:clairo:problem:no-rollback")
        assert f"no bundle was served before {first}" in refused.json()["detail"]
        for bundle_id in (second, third):
            assert (await activate(client, bundle_id, allow_worse="true")).status_code == 200
        back = await roll_back(client)
        assert back.status_code == 200, back.text
        assert back.json() == {"bundle_id": second, "previous_bundle_id": third, "catalogue_version": 1}
    # The store keeps the order: a restarted process goes on back.
    async with serving(bundles) as client:
        assert (await client.get("/info")).json()["bundle_id"] == second
        assert (await roll_back(client)).json()["bundle_id"] == first
        assert (await roll_back(client)).status_code == 409
        # Going forward again makes it a bundle served before.
        assert (await activate(client, third, allow_worse="true")).status_code == 200
        assert (await roll_back(client)).json()["bundle_id"] == first


async def test_other_processes_follow_a_rollback_and_go_back_from_there(bundles: Path) -> None:
    tiny_bundle(bundles / "third", num_items=40, seed=2)
    first, second, third = (id_of(bundles / name) for name in ("first", "second", "third"))

    async def follows(client: httpx.AsyncClient, bundle_id: str) -> None:
        async with asyncio.timeout(30):
            while (await client.get("/info")).json()["bundle_id"] != bundle_id:
                await asyncio.sleep(0.1)

    async with serving(bundles) as one, serving(bundles) as other:
        for bundle_id in (second, third):
            await activate(one, bundle_id, allow_worse="true")
        await follows(other, third)
        assert (await roll_back(other)).json()["bundle_id"] == second
        await follows(one, second)
        assert (await roll_back(one)).json()["bundle_id"] == first
        await follows(other, first)
        assert (await roll_back(other)).status_code == 409


async def test_rolling_back_to_a_damaged_bundle_is_refused_and_the_served_one_stays(
    client: httpx.AsyncClient, bundles: Path
) -> None:
    first, second = id_of(bundles / "first"), id_of(bundles / "second")
    await activate(client, second)
    weights = bundles / "first" / "generator" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    damaged = await roll_back(client)
    assert (damaged.status_code, damaged.json()["type"]) == (409, "urn:clairo:problem:damaged-bundle")
    assert (await client.get("/info")).json()["bundle_id"] == second
    # A whole copy in its place is enough.
    shutil.rmtree(bundles / "first")
    tiny_bundle(bundles / "first", num_items=40)
    assert (await roll_back(client)).json()["bundle_id"] == first


async def test_a_bundle_served_before_that_is_no_longer_on_the_shelf_is_named(bundles: Path) -> None:
    tiny_bundle(bundles / "third", num_items=40, seed=2)
    second, third = id_of(bundles / "second"), id_of(bundles / "third")
    async with serving(bundles) as client:
        for bundle_id in (second, third):
            await activate(client, bundle_id, allow_worse="true")
        shutil.rmtree(bundles / "second")
        refused = await roll_back(client)
        assert refused.status_code == 409
        assert f"bundle {second}, which was served before, is not in bundles_dir" in refused.json()["detail"]
        assert (await client.get("/info")).json()["bundle_id"] == third


async def test_without_a_bundles_dir_there_is_nothing_to_roll_back_to(bundles: Path) -> None:
    async with serving(bundles, bundles_dir=None) as client:
        refused = await roll_back(client)
        assert refused.status_code == 409
        assert "no bundles_dir is set" in refused.json()["detail"]


async def test_an_unknown_bundle_is_a_404_and_activating_the_served_one_changes_nothing(
    client: httpx.AsyncClient, bundles: Path
) -> None:
    assert (await activate(client, "no-such-bundle")).json()["type"] == "urn:clairo:problem:unknown-bundle"
    first = id_of(bundles / "first")
    assert (await activate(client, first)).json()["previous_bundle_id"] == first


async def test_the_second_of_two_concurrent_activations_is_refused(client: httpx.AsyncClient, bundles: Path) -> None:
    second = id_of(bundles / "second")
    answers = await asyncio.gather(activate(client, second), activate(client, second))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (refused,) = [answer for answer in answers if answer.status_code == 409]
    assert refused.json()["type"] == "urn:clairo:problem:activation-in-progress"


async def test_an_activation_waits_until_another_processs_activation_has_been_followed(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = id_of(bundles / "first"), id_of(bundles / "second")
    async with serving(bundles) as one, serving(bundles) as other:
        loaded: list[Path] = []

        def slowly_loaded(folder: Path) -> Bundle:
            loaded.append(folder)
            time.sleep(1)
            return load_bundle(folder)

        monkeypatch.setattr(shelf, "load_bundle", slowly_loaded)
        assert (await activate(one, second)).status_code == 200
        async with asyncio.timeout(30):
            while len(loaded) < 2:
                await asyncio.sleep(0.01)
        assert (await activate(other, first)).status_code == 200
        async with asyncio.timeout(30):
            while (await one.get("/info")).json()["bundle_id"] != first:
                await asyncio.sleep(0.1)


async def test_after_a_restart_the_bundle_activated_last_is_served(bundles: Path) -> None:
    second = id_of(bundles / "second")
    async with serving(bundles) as client:
        await client.post("/items", json=MUG)
        await activate(client, second)
    async with serving(bundles) as client:
        assert (await client.get("/info")).json()["bundle_id"] == second
        assert (await client.get("/items/posted-mug")).status_code == 200
    shutil.rmtree(bundles / "second")
    async with serving(bundles) as client:
        assert (await client.get("/info")).json()["bundle_id"] == id_of(bundles / "first")


async def test_a_process_follows_the_activation_of_another_one_or_is_degraded(bundles: Path) -> None:
    second = id_of(bundles / "second")
    elsewhere = Path(shutil.copytree(bundles, bundles.parent / "elsewhere"))
    shutil.move(elsewhere / "second", elsewhere.parent / "not-there-yet")
    async with serving(bundles) as one, serving(bundles) as other, serving(bundles, bundles_dir=elsewhere) as third:
        assert (await activate(one, second)).status_code == 200
        async with asyncio.timeout(30):
            while (await other.get("/info")).json()["bundle_id"] != second:
                await asyncio.sleep(0.1)
            while (await third.get("/health/ready")).json()["status"] != "degraded":
                await asyncio.sleep(0.1)
        shutil.move(elsewhere.parent / "not-there-yet", elsewhere / "second")
        async with asyncio.timeout(30):
            while (await third.get("/health/ready")).json() | {"catalogue_version": 0} != {
                "status": "ready",
                "bundle_id": second,
                "catalogue_version": 0,
                "degraded": [],
            }:
                await asyncio.sleep(0.1)


async def test_two_processes_that_swap_concurrently_give_posted_items_the_same_features(bundles: Path) -> None:
    async with serving(bundles) as one, serving(bundles) as other:
        for number in range(6):
            await one.post("/items", json=MUG | {"item_id": f"mug-{number}"})
        second = id_of(bundles / "second")
        answers = await asyncio.gather(activate(one, second), activate(other, second))
        assert [answer.status_code for answer in answers] == [200, 200]
        sets = set()
        for number in range(6):
            seen = [(await client.get(f"/items/mug-{number}")).json()["feature_set"] for client in (one, other)]
            assert seen[0] == seen[1]
            sets.add(str(seen[0]))
        assert len(sets) == 6


async def test_the_previous_bundle_leaves_no_memory_behind(bundles: Path) -> None:
    settings = Settings(
        bundle=bundles / "first", bundles_dir=bundles, database_url="sqlite:///:memory:", device="cpu", num_views=1
    )
    async with open_parts(settings) as parts:
        before = weakref.ref(parts.served.live.recommender), weakref.ref(parts.served.live.bundle)
        await parts.swap.activate(id_of(bundles / "second"))
        gc.collect()
        assert [reference() for reference in before] == [None, None]


async def test_the_shelf_finds_the_configured_bundle_without_a_folder(made: Path) -> None:
    shelf = BundleShelf(made / "first", None, made)
    assert [shelved.folder.name for shelved in shelf.bundles()] == ["first"]


async def test_the_page_about_a_bundle_is_served_without_an_origin_once_there_is_one(
    client: httpx.AsyncClient, bundles: Path
) -> None:
    (first, second) = (id_of(bundles / name) for name in ("first", "second"))
    missing = await client.get(f"/bundles/{second}/report")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:clairo:problem:no-report")
    assert "run clairo-train report" in missing.json()["detail"]
    (bundles / "second" / "report" / "report.html").write_text("<h1>second</h1>")
    listed = {bundle["bundle_id"]: bundle["report_url"] for bundle in (await client.get("/bundles")).json()["bundles"]}
    assert listed == {first: None, second: f"/bundles/{second}/report"}
    shown = await client.get(listed[second])
    assert (shown.status_code, shown.text) == (200, "<h1>second</h1>")
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert shown.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert (await client.post(f"/bundles/{second}/activate?allow_worse=true")).status_code == 200
    assert (await client.get("/bundles/nothing/report")).status_code == 404
