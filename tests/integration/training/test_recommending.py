"""`clairo-train recommend`: all users of a data set or a service in one file, each once, also after a kill."""

import asyncio
import csv
import os
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import SettingsError
from clairo_core.items import UserHistory
from clairo_core.progress import silent
from tests.recommending import Killed, killed_after, write_visits
from tests.running_service import drawn_picture, running_service
from tests.tiny import tiny_bundle
from training.cli import app
from training.recommending import recommend_users as recommending
from training.recommending import write_lists as writing
from training.recommending.recommend_users import recommend_users

NUM_USERS = 11


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A data set whose user n went from item-n to item-(n + 2), and once to an item that no bundle has."""
    return write_visits(
        tmp_path / "shop", NUM_USERS, [("user-00", "gone", 9)], min_interactions="3", unknown_items='"drop"'
    )


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "USERS_PER_PART", 4)


def recommended(bundle: Path, shop: Path, out: Path, limit: int = 3, progress: Any = silent) -> list[str]:
    """Run the command's function; return what it reported."""
    told: list[str] = []
    told.append(recommend_users(bundle, shop, out, limit, device="cpu", progress=progress, report=told.append))
    return told


def test_every_user_of_a_data_set_gets_what_the_recommender_gives_him(bundle: Path, shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "recommendations.parquet"
    flags = ["--users", str(shop), "--out", str(out), "--limit", "3", "--device", "cpu"]
    ran = CliRunner().invoke(app, ["recommend", str(bundle), *flags], catch_exceptions=False)
    assert f"{out}: 11 users, 33 rows" in ran.stdout
    recommender = load_bundle(bundle).recommender("cpu")
    rows = pq.read_table(out).to_pylist()
    for user in range(NUM_USERS):
        history = UserHistory(tuple(f"item-{user + step}" for step in range(3)))
        expected = recommender.recommend(history, 3).items
        assert rows[3 * user : 3 * user + 3] == [
            {
                "user_id": f"user-{user:02}",
                "rank": item.rank,
                "item_id": item.item_id,
                "score": pytest.approx(item.score, abs=1e-5),
                "source": item.source,
            }
            for item in expected
        ]


@pytest.mark.parametrize("num_users", [0, 3, 6, 10])
def test_a_killed_run_resumes_with_every_user_once(bundle: Path, shop: Path, tmp_path: Path, num_users: int) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    recommended(bundle, shop, whole)
    with pytest.raises(Killed):
        recommended(bundle, shop, out, progress=killed_after(num_users))
    assert not out.exists()
    told = recommended(bundle, shop, out)
    assert [line.startswith(f"resuming after {num_users // 4 * 4} of 11 users") for line in told[:-1]] == (
        [True] if num_users >= 4 else []
    )
    assert pq.read_table(out).equals(pq.read_table(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "shop", "whole.parquet"]


def test_a_kill_before_the_file_is_whole_loses_no_part(
    bundle: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.parquet"
    recommended(bundle, shop, out)
    before = out.read_bytes()

    def fail(*_: object) -> int:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(writing, "write_tables", fail)
        with pytest.raises(Killed):
            recommended(bundle, shop, out, limit=2)
    assert out.read_bytes() == before
    told = recommended(bundle, shop, out, limit=2)
    assert told[0].startswith("resuming after 11 of 11 users")
    assert pq.read_table(out).num_rows == 22


def test_parts_of_another_plan_are_not_used(bundle: Path, shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(Killed):
        recommended(bundle, shop, out, progress=killed_after(6))
    (told,) = recommended(bundle, shop, out, limit=5)
    assert "11 users, 55 rows" in told
    with pytest.raises(Killed):
        recommended(bundle, shop, out, progress=killed_after(6))
    with (shop / "visits.csv").open("a") as visits:
        visits.write("\nuser-00,item-9,10")
    (told,) = recommended(bundle, shop, out)
    assert "11 users, 33 rows" in told


def test_a_csv_file_has_the_same_rows(bundle: Path, shop: Path, tmp_path: Path) -> None:
    recommended(bundle, shop, tmp_path / "out.parquet")
    recommended(bundle, shop, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["user_id"], int(row["rank"]), row["item_id"], float(row["score"])) for row in rows] == [
        (row["user_id"], row["rank"], row["item_id"], row["score"]) for row in expected
    ]
    recommended(bundle, shop, tmp_path / "out.csv")


def test_a_file_of_something_else_is_not_replaced(bundle: Path, shop: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"got ending '\.json', expected \.parquet or \.csv"):
        recommended(bundle, shop, tmp_path / "out.json")
    for name, content in (("orders.csv", "user_id,item_id\nann,mug\n"), ("orders.parquet", "nothing")):
        (tmp_path / name).write_text(content)
        with pytest.raises(SettingsError, match="exists and has no recommendations; name another file"):
            recommended(bundle, shop, tmp_path / name)
        assert (tmp_path / name).read_text() == content


def test_a_database_is_refused_with_a_data_set(bundle: Path, shop: Path, tmp_path: Path) -> None:
    flags = ["--users", str(shop), "--out", str(tmp_path / "out.csv"), "--service-database", "sqlite:///x.db"]
    result = CliRunner().invoke(app, ["recommend", str(bundle), *flags])
    assert isinstance(result.exception, SettingsError)
    assert "--service-database only goes with --users service" in str(result.exception)


def test_a_run_on_a_service_resumes_with_the_users_of_its_start_for_a_day(
    bundle: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, plan = tmp_path / "out.parquet", tmp_path / ".out.parquet.parts" / "plan.json"
    exports: list[str] = []

    def export(folder: Path, serving: Path, database: str | None, since: str | None) -> str:
        exports.append(str(database))
        shutil.copytree(shop, folder)
        (folder / "retired.json").write_text('["item-0"]')
        return f"export {len(exports)}"

    def run(database: str, progress: Any = silent) -> list[str]:
        told: list[str] = []
        recommend_users(bundle, None, out, 3, database=database, device="cpu", progress=progress, report=told.append)
        return told

    monkeypatch.setattr(recommending, "write_service_tables", export)
    for database, expected in (("postgresql://a:secret@one/x", 1), ("postgresql://a:other@one/x", 1), ("two", 2)):
        with pytest.raises(Killed):
            run(database, killed_after(6))
        assert len(exports) == expected
        assert "secret" not in plan.read_text()
    yesterday = time.time() - 25 * 3600
    os.utime(plan, (yesterday, yesterday))
    assert run("two") == ["export 3"]
    rows = pq.read_table(out).to_pylist()
    assert len({row["user_id"] for row in rows}) == NUM_USERS
    assert "item-0" not in {row["item_id"] for row in rows}


async def test_users_of_a_service_get_what_the_service_answers(bundle: Path, tmp_path: Path) -> None:
    database, out = f"sqlite:///{tmp_path / 'clairo.db'}", tmp_path / "out.parquet"
    sent = [
        *({"user_id": "ann", "item_id": f"item-{number}", "type": "click"} for number in (1, 2)),
        {"user_id": "ann", "item_id": "item-3", "type": "dislike"},
        *({"user_id": "bob", "item_id": f"item-{number}", "type": "purchase"} for number in (4, 5)),
        *({"session_id": "merged", "item_id": f"item-{number}", "type": "click"} for number in (6, 7)),
        {"session_id": "nobody", "item_id": "item-8", "type": "click"},
        {"user_id": "gone", "item_id": "item-8", "type": "click"},
    ]
    now = time.time()
    events = [event | {"timestamp": now - 100 + number} for number, event in enumerate(sent)]
    settings = {"database_url": database, "num_views": None, "num_beams": None}
    async with running_service(load_bundle(bundle), **settings) as client:
        await client.post("/feedback", json={"events": events})
        assert (await client.post("/users/cat/merge", json={"session_id": "merged"})).json()["num_merged"] == 2
        await client.delete("/users/gone")
        picture = ("mug.png", drawn_picture())
        await client.post("/items", data={"item": '{"item_id": "posted", "title": "Mug"}'}, files={"picture": picture})
        retired = (await answered(client, "ann"))[0]["item_id"]
        await client.delete(f"/items/{retired}")
        expected = {user_id: await answered(client, user_id) for user_id in ("ann", "bob", "cat")}
        told: list[str] = []
        await asyncio.to_thread(
            lambda: recommend_users(
                bundle, None, out, 20, database=database, device="cpu", progress=silent, report=told.append
            )
        )
    rows = pq.read_table(out).to_pylist()
    assert {row["user_id"] for row in rows} == {"ann", "bob", "cat"}
    assert retired not in {row["item_id"] for row in rows}
    for user_id, items in expected.items():
        of_user = [row for row in rows if row["user_id"] == user_id]
        assert [row["item_id"] for row in of_user] == [item["item_id"] for item in items]
        assert [row["score"] for row in of_user] == pytest.approx([item["score"] for item in items], abs=1e-4)


async def answered(client: httpx.AsyncClient, user_id: str) -> list[dict[str, Any]]:
    answer = await client.post("/recommend", json={"user_id": user_id, "limit": 20})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]
