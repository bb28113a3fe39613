"""Parts of a bundle that can rank beside the whole."""

import json
from pathlib import Path

import pytest

from clairo_core.items import Item
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from tests.unbuilt_stages import UnbuiltStages
from training.comparison.rankers import ComparisonSetup, fit_without, parts_of
from training.datasets.dataset import build_dataset
from training.evaluation.repeat_lift import lift_users
from training.evaluation.split import held_out, test_split


@pytest.mark.parametrize(
    ("files", "settings", "alone", "num_left_out"),
    [
        ({"generator/config.json": ""}, {}, (), 0),
        ({"ranking/mixture/mixture.json": ""}, {}, ("generator", "dense head"), 4),
        ({"ranking/mixture/mixture.json": ""}, {"mix": {"kind": "fitted"}}, ("generator", "dense head"), 4),
        ({"ranking/mixture/mixture.json": ""}, {"mix": {"kind": "dense_reranks"}}, ("generator", "dense head"), 0),
    ],
)
def test_a_part_is_left_out_only_where_weights_can_be_fitted_for_the_others(
    files: dict[str, str], settings: dict[str, object], alone: tuple[str, ...], num_left_out: int, tmp_path: Path
) -> None:
    manifest = {"files": files, "settings": settings}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    parts = parts_of(tmp_path)
    assert parts[:2] == alone
    assert [part.startswith("without ") for part in parts[2:]] == [True] * num_left_out


def setup_of(histories: list[list[int]], folder: Path) -> ComparisonSetup:
    items = tuple(Item(item_id=f"item-{row}") for row in range(8))
    users = tuple(f"user-{row}" for row in range(len(histories)))
    dataset = build_dataset("shop", items, users, ItemSequences.from_lists(histories))
    targets, stages = held_out(test_split, dataset), UnbuiltStages(folder)
    return ComparisonSetup(
        folder, dataset, targets, lift_users(dataset), {}, stages, "cpu", silent, lambda _message: None
    )


def test_weights_without_a_part_are_fitted_again_on_other_data(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    first, again, other = (
        fit_without(setup_of(histories, tmp_path), "shop", tmp_path, seed=0)
        for histories in ([[0, 1, 2, 3]] * 5, [[0, 1, 2, 3]] * 5, [[0, 1, 3, 2]] * 5)
    )
    assert first == again
    assert first != other
