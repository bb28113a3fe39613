"""Five shops' own files, each without a line of glue: init, check, run, import, serve, export, and the next bundle."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from clairo_core.bundle.manifest import read_manifest
from tests.fresh_processes import fresh_process
from tests.repository import REPOSITORY
from tests.running_service import running_process
from tests.sqlite_shop import write_sqlite_shop
from training.cli import app
from training.datasets.dataset_toml import read_description
from training.datasets.tables.sql_tables import DEFAULT_URL_ENV

SHOPS = REPOSITORY / "tests" / "data" / "shops"
FILES = {
    "shopify": ("products_export.csv", "orders_export.csv"),
    "woocommerce": ("wc-product-export.csv", "orders.csv"),
    "ga4_merchant": ("feed.xml", "events.json"),
    "german_csv": ("artikel.csv", "bestellungen.csv"),
    "sqlite": (),
}
"""Items first. A database has no headers to look at."""
SMALL = (
    "encode.text_dim=16",
    "fuse.dim_per_modality=8",
    "align.dim=16",
    "quantize.num_codebooks=4",
    "parallel.width=16",
    "parallel.max_epochs=2",
    "dense.encoder=recurrent",
    "dense.width=16",
    "dense.max_epochs=2",
    "evaluate.num_resamples=50",
)


@dataclass(frozen=True)
class Trip:
    """One shop's way round."""

    written: str
    """The dataset.toml of `init`; empty for a database."""
    checked: str
    imported: str
    answer: dict[str, object]
    """For a user of the imported events."""
    next_run: str
    bundles: Path
    exported: Path


@pytest.fixture(scope="module", params=list(FILES))
def trip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trip]:
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    shop = folder / "shop"
    shutil.copytree(SHOPS / name, shop)
    with pytest.MonkeyPatch.context() as environment:
        if name == "sqlite":
            environment.setenv(DEFAULT_URL_ENV, write_sqlite_shop(shop))
        written = ""
        if FILES[name]:
            drafted = shop / "drafted.toml"
            invoke("init", *(str(shop / file) for file in FILES[name]), "--out", str(drafted))
            written = drafted.read_text(encoding="utf-8")
            read_description(drafted)
        yield go_round(shop, folder / "bundles", folder / "data", written)


def go_round(shop: Path, bundles: Path, data: Path, written: str) -> Trip:
    checked = invoke("check", str(shop))
    chosen = [part for setting in SMALL for part in ("--set", setting)]
    invoke("run", "--data", str(shop), "--out", str(bundles / "first"), "--device", "cpu", *chosen)
    imported = serve("import", str(shop), "--data-dir", str(data))
    with (
        running_process(bundles / "first", data, "--bundles-dir", str(bundles)) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        user_id = client.get("/users", params={"limit": 1}).json()["users"][0]["user_id"]
        answer = client.post("/recommend", json={"user_id": user_id, "limit": 5}).json()
        source = ("--data", "service", "--service-database", f"sqlite:///{data / 'clairo.db'}")
        next_run = invoke("run", *source, "--serving", str(bundles / "first"), "--out", str(bundles / "second"))
    exported = data / "exported"
    serve("export", "--out", str(exported), "--bundle", str(bundles / "first"), "--data-dir", str(data))
    return Trip(written, checked, imported, answer, next_run, bundles, exported)


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def serve(*arguments: str) -> str:
    variables = {name: value for name, value in os.environ.items() if name == DEFAULT_URL_ENV}
    with fresh_process(["clairo-serve", *arguments], REPOSITORY, variables) as process:
        assert process.wait() == 0, process.output
    return process.output


def attributes_in(lines: Iterator[str]) -> dict[str, object]:
    records = map(json.loads, lines)
    return {record["item_id"]: record["attributes"] for record in records}


def test_a_shops_files_go_round_without_glue(trip: Trip) -> None:
    first, second = read_manifest(trip.bundles / "first"), read_manifest(trip.bundles / "second")
    assert "no faults" in trip.checked
    assert "events" in trip.imported
    assert trip.answer["fallback_reason"] is None, trip.answer
    assert len(trip.answer["items"]) == 5  # type: ignore[arg-type]
    assert second.rules == first.rules
    assert second.types_of_attributes == first.types_of_attributes
    with (
        (trip.bundles / "first/items/items.jsonl").open() as before,
        (trip.bundles / "second/items/items.jsonl").open() as after,
    ):
        assert attributes_in(after) == attributes_in(before)
    assert dict(second.settings) == dict(first.settings)
    assert second.trained_on is not None
    assert first.trained_on is not None
    # The second is not promoted, as nothing is newer than the first one, and so it is not refitted.
    assert second.trained_on["measured"] == first.trained_on["measured"], "every event came round"


def test_an_export_describes_the_interactions_as_the_shop_did(trip: Trip) -> None:
    rules = read_description(trip.exported / "dataset.toml").rules
    assert rules.types == read_manifest(trip.bundles / "first").rules.types
    assert rules.targets == read_manifest(trip.bundles / "first").rules.targets
    with (trip.exported / "items.jsonl").open(encoding="utf-8") as lines:
        assert all(json.loads(line)["item_id"] for line in lines)
