"""`run --from`: a bundle of one shop teaches the training on another, whose items get their codes from it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import SettingsError, TrainingError
from clairo_core.feature_index import TakenFeatureSets
from clairo_core.items import UserHistory
from tests.integration.training.pipeline.test_presets import SMALL
from tests.tiny import tiny_bundle
from training.cli import app
from training.datasets import load_dataset
from training.demo_shop import write_demo_shop

NUM_ITEMS = 40


def run(data: Path, out: Path, *flags: str) -> None:
    result = CliRunner().invoke(app, ["run", "--data", str(data), "--out", str(out), "--device", "cpu", *flags])
    if result.exception is not None:
        raise result.exception


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two cuts of the demo shop."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    for seed, folder in enumerate((first, second)):
        write_demo_shop(folder, num_items=NUM_ITEMS, num_users=40, seed=seed)
    return first, second


@pytest.fixture(scope="module")
def bundles(shops: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """Of the first shop, and of the second from the first, with steps too small to leave the weights."""
    folder = tmp_path_factory.mktemp("bundles")
    sizes = [part for size in (*SMALL, "evaluate.num_views=2") for part in ("--set", size)]
    run(shops[0], folder / "first", "--preset", "mql4grec", *sizes)
    run(shops[1], folder / "second", "--from", str(folder / "first"), "--set", "fit.learning_rate=1e-9")
    return load_bundle(folder / "first"), load_bundle(folder / "second")


def test_the_items_of_the_other_shop_get_the_codes_that_the_bundle_gives_posted_items(
    shops: tuple[Path, Path], bundles: tuple[Bundle, Bundle]
) -> None:
    first, second = bundles
    items = load_dataset(shops[1]).items
    assert second.catalogue.item_ids == tuple(item.item_id for item in items)
    described = first.describe_items(items, TakenFeatureSets(first.vocabulary.spelled_categories))
    assert second.catalogue.feature_sets.tolist() == [list(item.feature_set) for item in described]
    posted = items[0]
    assert second.describe(posted, ()).semantic_id == first.describe(posted, ()).semantic_id


def test_the_generator_goes_on_from_the_weights_before_the_refit(bundles: tuple[Bundle, Bundle]) -> None:
    before, after = (load_file(one.measured_generator_folder / "model.safetensors") for one in bundles)
    assert before.keys() == after.keys()
    assert all(torch.allclose(after[name], before[name], atol=1e-5) for name in before)


def test_the_new_bundle_has_the_settings_of_the_first_and_serves_its_own_items(bundles: tuple[Bundle, Bundle]) -> None:
    first, second = bundles
    assert second.manifest.preset == "mql4grec"
    assert second.manifest.settings["fit"] == {**first.manifest.settings["fit"], "learning_rate": 1e-9}
    answer = second.recommender("cpu").recommend(UserHistory(second.catalogue.item_ids[:3]), 10)
    assert len({item.item_id for item in answer.items} & set(second.catalogue.item_ids)) == 10


def test_what_does_not_go_with_a_bundle_to_start_from_is_refused(
    shops: tuple[Path, Path], bundles: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    of_first = ("--from", str(bundles[0].folder))
    with pytest.raises(SettingsError, match="leave out --preset tiger, and use --set"):
        run(shops[1], tmp_path / "out", *of_first, "--preset", "tiger")
    with pytest.raises(SettingsError, match="with --data service, use --warm-start"):
        run(Path("service"), tmp_path / "out", *of_first)
    with pytest.raises(SettingsError, match=r"got --set generator.d_model=32; leave it out, or train from scratch"):
        run(shops[1], tmp_path / "out", *of_first, "--set", "generator.d_model=32", "--set", "fit.max_epochs=1")
    numbers = tiny_bundle(tmp_path / "blind", num_items=NUM_ITEMS, can_ingest=False)
    with pytest.raises(TrainingError, match="cannot describe new items; train from scratch"):
        run(shops[1], tmp_path / "out", "--from", str(numbers))


def test_data_without_a_modality_of_the_bundle_is_refused(
    shops: tuple[Path, Path], bundles: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    write_demo_shop(tmp_path, num_items=8, num_users=8)
    toml = tmp_path / "dataset.toml"
    without = [line for line in toml.read_text().splitlines() if not line.startswith("picture")]
    toml.write_text("\n".join(without))
    with pytest.raises(SettingsError, match="reads image and text, but no item of demo-shop has image; start from"):
        run(tmp_path, tmp_path / "out", "--from", str(bundles[0].folder))
