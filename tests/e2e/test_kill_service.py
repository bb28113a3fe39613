"""SIGKILL at any moment: acknowledged items survive, others exist whole or not at all."""

import base64
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running_service import ServiceProcess, drawn_picture, running_process
from tests.tiny import tiny_bundle

NUM_POSTERS = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def post(url: str, number: int) -> dict[str, Any]:
    item = {
        "item_id": f"posted-{number}",
        "title": f"Posted product {number}",
        "picture": base64.b64encode(drawn_picture(number)).decode(),
    }
    answer = httpx.post(f"{url}/items", json=item, timeout=60)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


def assert_is_whole(url: str, number: int, acknowledged: dict[str, Any] | None) -> None:
    """Check that an acknowledged item is unchanged, and any other is complete."""
    item = httpx.get(f"{url}/items/posted-{number}", timeout=60).json()
    assert item["title"] == f"Posted product {number}"
    assert item["missing_modalities"] == []
    assert item["tokens"]
    if acknowledged is not None:
        assert item["feature_set"] == acknowledged["feature_set"]
    assert httpx.get(url + item["picture_url"], timeout=60).content == drawn_picture(number)


def recommended_ids(url: str) -> set[str]:
    request = {"history": ["item-0"], "limit": 100}
    answer = httpx.post(f"{url}/recommend", json=request, timeout=60)
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"]}


def assert_database_is_sound(data_dir: Path) -> None:
    connection = sqlite3.connect(data_dir / "clairo.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        (num_items,) = connection.execute("SELECT count(*) FROM items").fetchone()
        for table in ("item_features", "catalogue_changes"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (num_items,)
    finally:
        connection.close()


def test_an_item_survives_a_kill_right_after_its_201(bundle: Path, tmp_path: Path) -> None:
    with running_process(bundle, tmp_path) as service:
        acknowledged = post(service.url, 1)
        service.kill()
    assert_database_is_sound(tmp_path)
    with running_process(bundle, tmp_path) as service:
        assert_is_whole(service.url, 1, acknowledged)
        assert "posted-1" in recommended_ids(service.url)
        post(service.url, 2)
        assert service.terminate() in (0, -15)


def test_a_kill_during_a_burst_of_posts_loses_nothing_acknowledged(bundle: Path, tmp_path: Path) -> None:
    acknowledged: dict[int, dict[str, Any]] = {}

    def post_until_killed(url: str, first: int) -> None:
        for number in range(first, first + 1000):
            try:
                acknowledged[number] = post(url, number)
            except httpx.TransportError:
                return

    with running_process(bundle, tmp_path) as service:
        posters = [
            threading.Thread(target=post_until_killed, args=(service.url, 1000 * poster))
            for poster in range(NUM_POSTERS)
        ]
        for poster in posters:
            poster.start()
        while len(acknowledged) < 12:
            time.sleep(0.01)
        service.kill()
        for poster in posters:
            poster.join()
    assert_database_is_sound(tmp_path)
    with running_process(bundle, tmp_path) as service:
        page = httpx.get(f"{service.url}/items", params={"q": "posted-", "limit": 200}, timeout=60).json()
        found = {int(item["item_id"].removeprefix("posted-")) for item in page["items"]}
        assert acknowledged.keys() <= found
        # Per poster, at most the one item whose answer was in flight.
        assert len(found - acknowledged.keys()) <= NUM_POSTERS
        for number in found:
            assert_is_whole(service.url, number, acknowledged.get(number))
        assert {f"posted-{number}" for number in found} <= recommended_ids(service.url)


def test_kills_at_start_and_when_idle_lose_nothing(bundle: Path, tmp_path: Path) -> None:
    with running_process(bundle, tmp_path) as service:
        acknowledged = {number: post(service.url, number) for number in range(3)}
        time.sleep(0.5)
        service.kill()
    for seconds in (0.1, 0.3, 1.0):
        starting = ServiceProcess(bundle, tmp_path)
        time.sleep(seconds)
        starting.kill()
    assert_database_is_sound(tmp_path)
    with running_process(bundle, tmp_path) as service:
        for number, item in acknowledged.items():
            assert_is_whole(service.url, number, item)


def test_a_kill_during_the_first_start_leaves_a_usable_database(bundle: Path, tmp_path: Path) -> None:
    starting = ServiceProcess(bundle, tmp_path)
    while not (tmp_path / "clairo.db").exists() and starting.process.poll() is None:
        time.sleep(0.001)
    starting.kill()
    with running_process(bundle, tmp_path) as service:
        post(service.url, 1)
    assert_database_is_sound(tmp_path)
