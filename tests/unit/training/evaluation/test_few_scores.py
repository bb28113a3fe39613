"""Ranks by few scores per user: by hand, and equal to those of all users by all items."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from clairo_core.sequences import ItemSequences
from training.evaluation.few_scores import FewScores, scores_above, shared_scores
from training.evaluation.metrics import ranks_by_scores
from training.evaluation.rankings import first_places, with_lift

NUM_ITEMS = 14


def test_a_target_stands_behind_own_and_shared_scores_that_are_equal_or_higher() -> None:
    # Everybody: 5, 3, 3, 1. The user adds 2 to item 3, and 1 to item 1.
    own = sparse.csr_matrix(np.array([[0.0, 1.0, 0.0, 2.0]]))
    scores = scores_above(own, shared_scores(np.array([5.0, 3.0, 3.0, 1.0])))
    assert scores.dense().tolist() == [[5, 4, 3, 3]]
    allowed, masked = scores.ranks(ItemSequences.from_lists([range(4)]), ItemSequences.from_lists([[1, 1]]))
    assert allowed.tolist() == [1, 2, 4, 4]
    assert masked.tolist() == [1, 0, 3, 3]
    assert scores.best(0, 3)[0].tolist() == [0, 1, 2]


rows = st.lists(st.integers(0, NUM_ITEMS - 1), max_size=6)


@given(st.data())
def test_ranks_lifts_and_first_places_equal_those_of_all_scores(data: st.DataObject) -> None:
    histories = data.draw(st.lists(rows, min_size=1, max_size=4))
    targets = [data.draw(rows.filter(bool)) for _ in histories]
    shared = np.array(data.draw(st.lists(st.integers(0, 4), min_size=NUM_ITEMS, max_size=NUM_ITEMS)), dtype=float)
    added = np.zeros((len(histories), NUM_ITEMS))
    for user, own_rows in enumerate(data.draw(st.lists(rows, min_size=len(histories), max_size=len(histories)))):
        added[user, own_rows] = data.draw(st.integers(-2, 3))
    few = scores_above(sparse.csr_matrix(added), shared_scores(shared))
    seen, wanted = ItemSequences.from_lists(histories), ItemSequences.from_lists(targets)
    assert few.dense().tolist() == (added + shared).tolist()
    for lift in (0.0, -1.5, -np.inf):
        lifted, dense = with_lift(few, seen, lift), with_lift(few.dense(), seen, lift)
        assert isinstance(lifted, FewScores)
        assert lifted.dense().tolist() == dense.tolist()
        firsts = np.array([sequence[0] for sequence in targets])
        for of_targets in (firsts, wanted):
            for mine, expected in zip(
                ranks_by_scores(lifted, of_targets, seen), ranks_by_scores(dense, of_targets, seen), strict=True
            ):
                assert getattr(mine, "places", mine).tolist() == getattr(expected, "places", expected).tolist()
        for user, best in enumerate(first_places(lifted)):
            in_order = np.lexsort((np.arange(NUM_ITEMS), -dense[user]))
            assert best.tolist() == [row if dense[user, row] > -np.inf else -1 for row in in_order[:10]]
