"""`clairo-serve import`: a data set's events, each once, from any of the training's readers."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from clairo_core.bundle.manifest import read_manifest
from clairo_core.events import EventType, InteractionRules
from service.cli.commands import app
from service.store.database import Database
from service.store.feedback import FeedbackStore
from service.store.feedback_event import FeedbackEvent
from tests.postgres_server import PostgresServer
from tests.tiny import tiny_bundle

DESCRIPTION = """
[items]
file = "items.csv"
texts = ["title"]

[[interactions]]
file = "clicks.csv"
timestamp = "at"
type = "what"

[[interactions]]
file = "orders.jsonl"
timestamp = "ordered"
event = "purchase"
min_interactions = 5

[events]
purchase = 1.0
loved = { when = "rating >= 4" }
view = 0.2
dislike = "negative"
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "dataset.toml").write_text(DESCRIPTION)
    (folder / "items.csv").write_text("item_id,title\nmug,Mug\ncup,Cup\n")
    (folder / "clicks.csv").write_text(
        "user_id,item_id,at,what,rating\n"
        "ann,mug,2024-05-01T10:00:00+02:00,view,\n"
        "bob,cup,2024-05-01 09:00:00,rating,4.5\n"
        "bob,mug,2024-05-01 09:00:01,rating,3.5\n"
        "bob,gone,2024-05-02,dislike,\n"
    )
    orders = [{"user_id": "ann", "item_id": "mug", "ordered": 1714557600000}]
    (folder / "orders.jsonl").write_text("".join(json.dumps(row) + "\n" for row in orders))
    return folder


def run_import(data: Path, location: str) -> Result:
    return CliRunner().invoke(app, ["import", str(data), "--database-url", location])


async def stored(location: Path | str) -> list[FeedbackEvent]:
    database = Database(location)
    await database.open()
    events = [kept.event for kept in await FeedbackStore(database).events_after(0, 100)]
    await database.close()
    return events


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        url = postgres.new_database()
        assert CliRunner().invoke(app, ["migrate", "--database-url", url]).exit_code == 0
        return url
    return f"sqlite:///{tmp_path / 'clairo.db'}"


def test_every_event_is_loaded_once_before_any_filter(data: Path, location: str) -> None:
    first = run_import(data, location)
    assert first.exit_code == 0, first.output
    assert "4 events of 2 users, 4 of them new" in first.stdout
    assert "1 rows are left out: no condition of [events] fits their values" in first.stderr
    again = run_import(data, location)
    assert "4 events of 2 users, 0 of them new" in again.stdout
    events = asyncio.run(stored(Path(location.removeprefix("sqlite:///")) if "sqlite" in location else location))
    assert [(event.user_id, event.item_id, event.type, event.timestamp, event.value) for event in events] == [
        ("ann", "mug", "view", 1714550400.0, None),
        ("ann", "mug", "purchase", 1714557600.0, None),
        ("bob", "cup", "loved", 1714554000.0, 4.5),
        ("bob", "gone", "dislike", 1714608000.0, None),
    ]


def test_types_that_the_served_bundle_does_not_declare_are_named(data: Path, tmp_path: Path) -> None:
    rules = InteractionRules(types={"purchase": EventType(), "view": EventType(weight=0.2)})
    bundle = tiny_bundle(tmp_path / "bundle", rules=rules)
    location = ["--database-url", f"sqlite:///{tmp_path / 'clairo.db'}"]
    ran = CliRunner().invoke(app, ["import", str(data), "--bundle", str(bundle), *location])
    assert ran.exit_code == 0, ran.output
    assert "4 events of 2 users, 4 of them new" in ran.stdout
    (line,) = (line for line in ran.stderr.splitlines() if "for nothing" in line)
    bundle_id = read_manifest(bundle).bundle_id
    assert line.startswith(
        f"clairo-serve: 1 event is stored but counts for nothing: got type 'loved' (1), bundle {bundle_id} has "
    )
    refused = CliRunner().invoke(app, ["import", str(data), "--bundle", str(tmp_path / "nowhere"), *location])
    assert refused.exit_code == 1
    assert "nowhere" in refused.stderr


def test_positions_keep_their_order_and_a_line_says_so(data: Path, tmp_path: Path) -> None:
    description = '[items]\nfile = "items.csv"\ntexts = ["title"]\n[interactions]\nfile = "rows.csv"\nposition = "n"\n'
    (data / "dataset.toml").write_text(description)
    (data / "rows.csv").write_text("user_id,item_id,n\nann,mug,2\nann,cup,1\n")
    ran = run_import(data, f"sqlite:///{tmp_path / 'clairo.db'}")
    assert "2 events have positions, not times" in ran.stderr
    events = asyncio.run(stored(tmp_path / "clairo.db"))
    assert [(event.item_id, event.type, event.timestamp) for event in events] == [
        ("cup", "interaction", 1.0),
        ("mug", "interaction", 2.0),
    ]


def test_an_event_ahead_of_the_clock_is_dated_now(data: Path, tmp_path: Path) -> None:
    orders = {"user_id": "ann", "item_id": "mug", "ordered": "2199-01-01T00:00:00Z"}
    (data / "orders.jsonl").write_text(json.dumps(orders) + "\n")
    for new in (4, 0):
        ran = run_import(data, f"sqlite:///{tmp_path / 'clairo.db'}")
        assert f"{new} of them new" in ran.stdout
        assert "1 events are dated ahead of the clock" in ran.stderr
    events = asyncio.run(stored(tmp_path / "clairo.db"))
    assert max(event.timestamp for event in events) <= time.time()


def test_a_faulty_table_is_named_and_nothing_is_loaded(data: Path, tmp_path: Path) -> None:
    (data / "clicks.csv").write_text("user_id,item_id,at,what,rating\nann,mug,yesterday,view,\n")
    ran = run_import(data, f"sqlite:///{tmp_path / 'clairo.db'}")
    assert ran.exit_code == 1
    assert "clicks.csv row 2, field 'at': got 'yesterday'" in ran.stderr
    assert asyncio.run(stored(tmp_path / "clairo.db")) == []


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    ran = run_import(tmp_path / "nowhere", f"sqlite:///{tmp_path / 'clairo.db'}")
    assert ran.exit_code == 1
    assert "does not exist" in ran.stderr
