"""Lifts of items that a user already has: fitting them, and ranking with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import RankingError
from clairo_core.items import Item, UserHistory
from clairo_core.progress import silent
from clairo_core.ranking import RankedItems, RepeatLifts, load_repeat_lifts, placed_with_repeats
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from tests.tiny import tiny_bundle
from training.config.preset import Preset
from training.datasets.dataset import build_dataset
from training.ranking import repeat_lifts_stage as repeat_lifts_stage_module
from training.ranking.fit_repeat_lifts import fit_repeat_lifts, repeat_share
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

SEEN = UserHistory(("item-3", "item-1", "item-4", "item-3"))
LISTS = st.lists(
    st.tuples(st.integers(0, 99), st.floats(-30, 0)), min_size=1, max_size=20, unique_by=lambda pair: pair[0]
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny"))


@pytest.fixture(scope="module")
def recommender(bundle: Bundle) -> Recommender:
    return bundle.recommender("cpu", num_views=2, num_beams=60)


def ids_of(recommender: Recommender, limit: int, *, include_seen: bool) -> list[str]:
    return [item.item_id for item in recommender.recommend(SEEN, limit, include_seen=include_seen).items]


@given(ranked=LISTS, history=st.lists(st.integers(0, 99)), lift=st.floats(-50, 50))
def test_the_order_is_that_of_the_lifted_scores_and_nothing_is_lost(
    ranked: list[tuple[int, float]], history: list[int], lift: float
) -> None:
    ranked = sorted(ranked, key=lambda pair: -pair[1])
    rows, scores = (np.array(column) for column in zip(*ranked, strict=True))
    is_dense = rows % 2 == 0
    placed = placed_with_repeats(RankedItems(rows, scores, is_dense), np.array(history, dtype=np.int64), lift)
    assert sorted(placed.item_rows.tolist()) == sorted(rows.tolist())
    assert np.all(np.diff(placed.scores) <= 0)
    assert np.array_equal(placed.is_dense, placed.item_rows % 2 == 0)
    score_of = dict(ranked)
    for row, score in zip(placed.item_rows.tolist(), placed.scores.tolist(), strict=True):
        assert score == pytest.approx(score_of[row] + (lift if row in history else 0.0))


def test_a_low_lift_ranks_unseen_items_first(recommender: Recommender) -> None:
    as_trained = recommender.with_repeat_lifts(RepeatLifts(generator=-50.0))
    assert ids_of(as_trained, 10, include_seen=True) == ids_of(recommender, 10, include_seen=False)
    everything = ids_of(as_trained, 60, include_seen=True)
    assert len(everything) == len(set(everything)) == 60
    assert set(SEEN.item_ids) <= set(everything)


def test_a_high_lift_ranks_seen_items_first(recommender: Recommender) -> None:
    loyal = recommender.with_repeat_lifts(RepeatLifts(generator=50.0))
    assert set(ids_of(loyal, 3, include_seen=True)) == set(SEEN.item_ids)
    assert not set(ids_of(loyal, 10, include_seen=False)) & set(SEEN.item_ids)


def test_a_later_catalogue_keeps_the_lifts(recommender: Recommender) -> None:
    lifts = RepeatLifts(generator=-3.0, together=-2.0)
    lifted = recommender.with_repeat_lifts(lifts)
    assert lifted.with_catalogue(lifted.catalogue).ranked_by(None).repeat_lifts == lifts


def test_without_repeats_in_training_the_lift_makes_them_as_rare_as_they_were(recommender: Recommender) -> None:
    item_ids = list(recommender.catalogue.item_ids)
    distinct = ItemSequences.from_lists([[3, 1, 4], [9, 2], [6, 5, 8, 7]] * 10)
    lifts = fit_repeat_lifts(recommender, item_ids, distinct, distinct, silent)
    assert lifts.generator < -1.0
    assert lifts.together == 0.0
    again = fit_repeat_lifts(recommender.with_repeat_lifts(lifts), item_ids, distinct, distinct, silent)
    assert again.generator == pytest.approx(0.0, abs=0.3)


def test_without_users_there_is_no_lift(recommender: Recommender) -> None:
    nobody = ItemSequences.from_lists([])
    assert fit_repeat_lifts(recommender, [], nobody, nobody, silent) == RepeatLifts()


def test_the_lifts_are_fitted_on_the_same_users_whatever_the_seed(
    recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeat_lifts_stage_module, "USERS", 2)
    items = tuple(Item(item_id=item_id) for item_id in recommender.catalogue.item_ids)
    sequences = ItemSequences.from_lists([[user, user + 7, user + 1, user + 3] for user in range(30)])
    dataset = build_dataset("shop", items, tuple(map(str, range(30))), sequences)

    def lifts_of(seed: int) -> RepeatLifts:
        stages = StageCache(tmp_path / str(seed))
        bench = Workbench(dataset, Preset("plain"), seed, torch.device("cpu"), stages, silent, lambda _message: None)
        return repeat_lifts_stage_module.repeat_lifts_stage(bench, recommender, "ranked")

    assert lifts_of(0) == lifts_of(1)


def test_the_share_of_repeats_counts_every_repeated_item() -> None:
    often = ItemSequences.from_lists([[1, 1, 1, 1, 2]] * 100)
    assert repeat_share(often) == pytest.approx(0.75, abs=0.01)
    never = ItemSequences.from_lists([[1, 2], [2, 1]] * 100)
    assert 0 < repeat_share(never) < 0.01


def test_lifts_survive_saving_and_older_bundles_have_none(bundle: Bundle, tmp_path: Path) -> None:
    lifts = RepeatLifts(generator=-3.5, together=0.25, without_generator=-1.5)
    lifts.save(tmp_path / "repeats.json")
    assert load_repeat_lifts(tmp_path / "repeats.json") == lifts
    assert load_repeat_lifts(tmp_path / "nowhere.json") == RepeatLifts()
    assert bundle.repeat_lifts == RepeatLifts()


@pytest.mark.parametrize("text", ["", "[1]", '{"generator": "much"}', '{"generator": NaN}', '{"of_ours": 1.0}'])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "repeats.json").write_text(text)
    with pytest.raises(RankingError, match=r"repeats\.json"):
        load_repeat_lifts(tmp_path / "repeats.json")


def test_only_repeats_of_targets_count_where_only_they_are_learned() -> None:
    items, offsets = np.array([1, 2, 1, 1, 3, 3]), np.array([0, 4, 6])
    sequences = ItemSequences(items, offsets, is_target=np.array([False, True, False, True, False, True]))
    # Of the next items that are targets, 2, 1 and 3, the user had the last two before.
    assert repeat_share(sequences) == (2 + 0.5) / (3 + 1)
