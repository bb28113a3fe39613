"""A trained bundle, served by default, gives the lists that its evaluation ranked."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.serving_points import BALANCED, QUALITIES, WITHOUT_GENERATOR, ServingPoint
from tests.integration.training.test_training_run import arguments
from tests.running_service import running_service
from training.cli import app
from training.datasets import Dataset, load_dataset
from training.demo_shop import write_demo_shop
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import MASKED, validation_split

NUM_USERS = 40


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_demo_shop(folder, num_items=80, num_users=100)
    return folder


@pytest.fixture(scope="module")
def bundle(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("bundles") / "small"
    result = CliRunner().invoke(app, [*arguments(shop, out, "fit.max_epochs=1", "dense.max_epochs=2"), "--no-refit"])
    assert result.exit_code == 0, result.output
    assert re.search(r"serving: .*balanced.*; chosen on \d+ validation users", result.stderr)
    return load_bundle(out)


@pytest.fixture(scope="module")
def dataset(shop: Path) -> Dataset:
    return load_dataset(shop)


async def test_the_service_gives_the_lists_that_the_evaluation_ranked(bundle: Bundle, dataset: Dataset) -> None:
    item_ids = [item.item_id for item in dataset.items]
    users = validation_split(dataset, MASKED).of_users(np.arange(NUM_USERS))
    _, ranked = generated_ranks(bundle.recommender("cpu"), item_ids, users, False, "")
    assert {len(of_user) for of_user in ranked} == {50}
    async with running_service(bundle, num_views=None, num_beams=None) as client:
        for history, expected in zip(users.histories, ranked, strict=True):
            sent = {"history": [item_ids[row] for row in history], "limit": 10}
            served = (await client.post("/recommend", json=sent)).json()["items"]
            assert [item["item_id"] for item in served] == [item_ids[row] for row in expected[:10]]


def test_the_bundle_holds_the_chosen_points_and_the_figures_behind_them(bundle: Bundle, dataset: Dataset) -> None:
    figures = bundle.manifest.metrics["serving"]
    measured = {ServingPoint(of_one["num_views"], of_one["num_beams"]): of_one for of_one in figures["measured"]}
    # The preset has three views of 20 beams.
    assert [str(point) for point in measured] == ["without generator", "1 x 10", "1 x 20", "3 x 20"]
    assert bundle.repeat_lifts.without_generator < 0, "nobody buys the same again"
    points = bundle.manifest.points
    assert set(points.values()) <= set(measured)
    assert all(of_one["milliseconds"] > 0 for of_one in measured.values())
    users = validation_split(dataset, MASKED)
    chosen_for = {quality: point for point, of_one in measured.items() for quality in of_one["chosen_for"]}
    assert chosen_for == points
    assert figures["num_users"] == len(users.targets)
    item_ids = [item.item_id for item in dataset.items]
    ranks, _ = generated_ranks(bundle.recommender("cpu"), item_ids, users, False, "", list_length=10)
    assert measured[points[BALANCED]]["ndcg_at_10"] == pytest.approx(ndcg_at(ranks, 10).mean())


async def test_every_quality_is_served_without_the_generator_too(bundle: Bundle) -> None:
    without = {**bundle.manifest.points, "fast": WITHOUT_GENERATOR}
    saved = {quality: dataclasses.asdict(point) for quality, point in without.items()}
    changed = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, serving=saved))
    async with running_service(changed, num_views=None, num_beams=None) as client:
        for quality in QUALITIES:
            sent = {"history": list(bundle.catalogue.item_ids[:3]), "quality": quality, "explain": True}
            items = (await client.post("/recommend", json=sent)).json()["items"]
            assert len(items) == 10
            assert quality != "fast" or {item["source"] for item in items} == {"dense"}
