"""Item weights: a worked example, agreement with a slow twin, and items added later."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from clairo_core.errors import ItemWeightsError
from clairo_core.ranking import ItemWeights, load_item_weights
from clairo_core.sequences import ItemSequences
from training.counts.ease import Ease
from training.counts.fit_item_weights import of_ease, of_markov, strongest
from training.counts.markov import MarkovSettings, fit_markov

MATRIX = np.array([[0.0, 2.0, 0.0], [0.5, 0.0, 1.0], [0.0, 0.0, 0.0]])


def by_hand() -> ItemWeights:
    return ItemWeights(sparse.csr_matrix(MATRIX, dtype=np.float32), np.array([1.0, 0.5]))


def test_the_scores_of_a_case_worked_by_hand() -> None:
    scores = by_hand().scores([np.array([2, 0, 1]), np.array([0])], 4)
    # The last item counts 1, the one before it a half, the third nothing; the fourth was added later.
    assert scores.tolist() == [[0.5, 1.0, 1.0, 0.0], [0.0, 2.0, 0.0, 0.0]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=4))
def test_any_history_scores_as_in_a_plain_loop(histories: list[list[int]]) -> None:
    scores = by_hand().scores([np.array(history) for history in histories], 6)
    expected = np.zeros((len(histories), 6))
    for user, history in enumerate(histories):
        for age, item in enumerate(reversed(history)):
            if age < 2 and item < 3:
                expected[user, :3] += [1.0, 0.5][age] * MATRIX[item]
    assert scores == pytest.approx(expected)


def test_loaded_weights_equal_the_saved_ones(tmp_path: Path) -> None:
    by_hand().save(tmp_path)
    again = load_item_weights(tmp_path)
    assert np.array_equal(again.matrix.toarray(), MATRIX.astype(np.float32))
    assert again.age_weights.tolist() == [1.0, 0.5]


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    weights = by_hand()
    weights.matrix.indices[0] = 7
    weights.save(tmp_path)
    with pytest.raises(ItemWeightsError, match="do not fit"):
        load_item_weights(tmp_path)


def test_followers_score_as_the_baseline_without_its_tie_break() -> None:
    training = ItemSequences.from_lists([[0, 1, 2], [1, 2, 0], [2, 0]])
    baseline = fit_markov(training, 3, MarkovSettings(2, 1.0, 1.0))
    histories = [np.array([0, 1]), np.array([2])]
    scores = of_markov(baseline).scores(histories, 3)
    assert scores == pytest.approx(baseline.scores(ItemSequences.from_lists(histories)), abs=1e-6)


def test_ease_keeps_the_strongest_weights_above_zero() -> None:
    weights = np.array([[0.0, 0.3, -0.5], [0.2, 0.0, 0.1], [-0.1, -0.2, 0.0]], dtype=np.float32)
    assert strongest(weights, 1).toarray() == pytest.approx(np.array([[0, 0.3, 0], [0.2, 0, 0], [0, 0, 0]]))
    whole = of_ease(Ease(weights, 0.5), 100).scores([np.array([1, 0])], 3)
    assert whole == pytest.approx(np.array([[0.1, 0.3, 0.05]]), abs=1e-6)
