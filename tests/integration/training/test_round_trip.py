"""dataset.toml -> bundle -> service -> next bundle: settings and rules stay, and folders hold what the docs list."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from clairo_core.bundle.manifest import BundleManifest, read_manifest
from clairo_core.events import EventType, InteractionRules
from tests.integration.training.test_training_run import FAST
from tests.repository import REPOSITORY
from tests.running_service import running_process
from tests.tiny import tiny_items
from training.cli import app

NUM_ITEMS = 40
NUM_USERS = 40
NUM_STEPS = 6
TOML = """
name = "shop"

[items]
file = "items.jsonl"
texts = ["title", "description"]

[interactions]
file = "interactions.jsonl"
timestamp = "at"
type = "type"
targets = ["purchase"]
repeats = "drop"
min_interactions = 2
unknown_items = "drop"

[events]
purchase = 1.0
view = 0.2
return = "negative"
"""
RULES = InteractionRules(
    types={"purchase": EventType(), "view": EventType(weight=0.2), "return": EventType(meaning="negative")},
    targets=("purchase",),
    repeats="drop",
    min_interactions=2,
    unknown_items="drop",
)


def events(who: str, start: float) -> Iterator[dict[str, object]]:
    """Each user buys item after item, going round the catalogue, the first one again, and views another."""
    for user in range(NUM_USERS):
        bought = [("purchase", user + step) for step in (*range(NUM_STEPS), 0)]
        for step, (kind, item) in enumerate([*bought, ("view", user + NUM_STEPS)]):
            yield {
                "user_id": f"{who}-{user}",
                "item_id": f"item-{item % NUM_ITEMS}",
                "type": kind,
                "timestamp": start + step / 100,
            }


def write_shop(folder: Path) -> None:
    folder.mkdir()
    (folder / "dataset.toml").write_text(TOML, encoding="utf-8")
    items = [{"item_id": item.item_id, **item.texts} for item in tiny_items(NUM_ITEMS)]
    rows = [{**event, "at": event["timestamp"]} for event in events("old", 1e9)]
    for name, table in (("items", items), ("interactions", rows)):
        lines = "".join(json.dumps(row) + "\n" for row in table)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


@dataclass(frozen=True)
class Trip:
    """Two bundles, the second one trained from the service that served the first."""

    bundles: Path
    names_after_first: set[str]
    reported: str
    """By the second run."""

    def manifest(self, name: str) -> BundleManifest:
        return read_manifest(self.bundles / name)


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trip]:
    folder = tmp_path_factory.mktemp("trip")
    bundles = folder / "bundles"
    write_shop(folder / "shop")
    chosen = [part for override in (*FAST, "encode.modalities=text") for part in ("--set", override)]
    first = ["run", "--data", str(folder / "shop"), "--out", str(bundles / "first"), "--preset", "clairo_token"]
    result = CliRunner().invoke(app, [*first, "--seed", "3", *chosen])
    assert result.exit_code == 0, result.output
    names = {path.name for path in bundles.iterdir()}
    with (
        running_process(bundles / "first", folder / "data", "--bundles-dir", str(bundles)) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        posted = [{**event, "event_id": str(row)} for row, event in enumerate(events("new", time.time()))]
        answer = client.post("/feedback", json={"events": posted})
        assert answer.json()["num_accepted"] == len(posted), answer.text
        second = ["run", "--data", "service", "--service-database", f"sqlite:///{folder / 'data' / 'clairo.db'}"]
        result = CliRunner().invoke(app, [*second, "--out", str(bundles / "second"), "--promote", service.url])
        assert result.exit_code == 0, result.output
        yield Trip(bundles, names, result.stderr)


def test_the_second_bundles_settings_and_rules_equal_the_first_ones_field_by_field(trip: Trip) -> None:
    first, second = trip.manifest("first"), trip.manifest("second")
    assert first.settings["seed"] == 3
    assert dict(second.settings) == dict(first.settings)
    assert first.rules == RULES
    assert second.rules == RULES
    assert second.preset == first.preset
    assert f"settings and rules are those of bundle {first.bundle_id}\n" in trip.reported


def test_a_repeat_is_dropped_by_the_rules_of_the_first_bundle(trip: Trip) -> None:
    for name in ("first", "second"):
        trained_on = trip.manifest(name).trained_on
        assert trained_on is not None
        assert trained_on["served"] <= NUM_USERS * (NUM_STEPS + 1)


def test_the_bundles_folder_holds_what_the_docs_list(trip: Trip) -> None:
    assert trip.names_after_first == {"first", ".stages"}
    assert {path.name for path in trip.bundles.iterdir()} == {"first", "second", ".stages", ".stages-of-service"}
    assert {path.name for path in (trip.bundles / ".stages-of-service").iterdir()} == {"embeddings"}
    documented = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`([\w.-]+)/?`", documented[documented.index("## Files") :].split("\n## ")[0]))
    for folder in (trip.bundles, trip.bundles / "first", trip.bundles / "second"):
        names = {path.name for path in folder.iterdir()} - {"first", "second"}
        assert names <= listed, names - listed
