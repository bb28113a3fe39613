"""Drawn tables: each gives a dataset or one clear line, never anything else, and the same again."""

from pathlib import Path

import numpy as np
import pytest

from clairo_core.errors import DatasetError
from clairo_core.values.ids import check_item_id, check_user_id
from clairo_core.values.missing import is_missing
from tests.drawn_tables import write_drawn_dataset
from training.datasets import Dataset, load_dataset

NUM_DRAWS = 400


def loaded(folder: Path) -> Dataset | str:
    try:
        return load_dataset(folder)
    except DatasetError as error:
        return str(error)


@pytest.mark.parametrize("first", range(0, NUM_DRAWS, 50))
def test_a_drawn_table_is_a_dataset_or_one_line_and_the_same_again(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 50):
        folder = tmp_path / str(seed)
        write_drawn_dataset(folder, seed)
        outcome = loaded(folder)
        again = loaded(folder)
        if isinstance(outcome, str):
            assert outcome == again
            assert len(outcome.splitlines()) == 1, outcome
            assert str(folder) in outcome
            continue
        assert isinstance(again, Dataset)
        assert outcome.fingerprint == again.fingerprint
        assert len(outcome.sequences.items) > 0
        for item in outcome.items:
            check_item_id(item.item_id)
            assert not any(map(is_missing, [*item.attributes.values(), *item.texts.values()]))
            assert all(np.isfinite(vector).all() for vector in item.vectors.values())
        for user_id in outcome.user_ids:
            check_user_id(user_id)


def test_enough_draws_are_datasets_and_enough_are_refused(tmp_path: Path) -> None:
    outcomes = []
    for seed in range(100):
        write_drawn_dataset(tmp_path / str(seed), seed)
        outcomes.append(loaded(tmp_path / str(seed)))
    num_datasets = sum(isinstance(outcome, Dataset) for outcome in outcomes)
    assert 25 <= num_datasets <= 75
