"""The search for each quality: the rule on made-up figures, and the points that are measured."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.recommender import Recommender
from clairo_core.serving_points import QUALITIES, WITHOUT_GENERATOR, ServingPoint, same_for_all
from tests.tiny import plain_sum, tiny_bundle
from tests.unit.clairo_core.ranking.test_joint_ranking import random_ranking
from tests.unit.clairo_core.test_serving_points import RecordingGenerator
from training.ranking.choose_points import choose_points, points_to_measure

NARROW, WIDE, WIDEST = ServingPoint(1, 10), ServingPoint(1, 50), ServingPoint(3, 50)
PRESET = WIDEST


def shifted(mean: float, spread: float = 0.1, num_users: int = 100) -> np.ndarray:
    """Differences of this mean, whose standard error is `spread / sqrt(num_users - 1)`."""
    return mean + spread * np.where(np.arange(num_users) % 2, 1.0, -1.0)


def test_the_cheapest_point_within_half_a_standard_error_is_chosen() -> None:
    # The standard error of both differences is 0.01005, half of it 0.00503.
    best = np.full(100, 0.5)
    ndcgs = {WITHOUT_GENERATOR: best - shifted(0.006), NARROW: best - shifted(0.004), WIDEST: best}
    assert choose_points(ndcgs) == {"fast": NARROW, "balanced": NARROW, "best": WIDEST}
    ndcgs[WITHOUT_GENERATOR] = best - shifted(0.005)
    assert choose_points(ndcgs) == {"fast": WITHOUT_GENERATOR, "balanced": NARROW, "best": WIDEST}


def test_equal_lists_take_the_cheapest_point_for_every_quality() -> None:
    ndcgs = {point: np.linspace(0, 1, 50) for point in (WIDEST, NARROW, WIDE)}
    assert choose_points(ndcgs) == same_for_all(NARROW)


def test_a_difference_that_all_users_share_is_never_within_the_tolerance() -> None:
    ndcgs = {NARROW: np.full(50, 0.5), WIDEST: np.full(50, 0.75)}
    assert choose_points(ndcgs) == same_for_all(WIDEST)


def test_balanced_generates_even_if_the_best_point_does_not() -> None:
    ndcgs = {WITHOUT_GENERATOR: np.full(50, 0.5), NARROW: np.full(50, 0.25), WIDEST: np.full(50, 0.375)}
    chosen = choose_points(ndcgs)
    assert chosen == {"fast": WITHOUT_GENERATOR, "balanced": WIDEST, "best": WITHOUT_GENERATOR}


@given(st.data())
def test_no_quality_costs_more_than_the_best_of_its_kind_or_is_clearly_worse(data: st.DataObject) -> None:
    points = [
        ServingPoint(*numbers)
        for numbers in data.draw(
            st.lists(st.tuples(st.integers(1, 5), st.integers(1, 60)), min_size=1, max_size=6, unique=True)
        )
    ]
    points += data.draw(st.sampled_from([[], [WITHOUT_GENERATOR]]))
    values = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=12, max_size=12)
    ndcgs = {point: np.array(data.draw(values)) for point in points}
    chosen = choose_points(ndcgs)
    best = ndcgs[chosen["best"]]
    assert best.mean() == max(of_point.mean() for of_point in ndcgs.values())
    assert chosen["fast"].cost <= min(chosen["balanced"].cost, chosen["best"].cost)
    assert chosen["balanced"].generates
    lost = best - ndcgs[chosen["fast"]]
    assert lost.mean() <= lost.std(ddof=1) / np.sqrt(len(lost)) / 2
    backwards = dict(reversed(ndcgs.items()))
    assert choose_points(backwards) == chosen, "the order of measuring does not matter"


@pytest.fixture(scope="module")
def generated_alone(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    folder = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", num_items=20, can_ingest=False)
    return load_bundle(folder).recommender("cpu")


def test_the_grid_has_the_presets_point_and_cheaper_ones(generated_alone: Recommender) -> None:
    before = random_ranking()
    together = generated_alone.ranked_by(
        dataclasses.replace(before, mixture_without_generator=plain_sum("dense", "followers"))
    )

    def texts(recommender: Recommender, preset: ServingPoint) -> list[str]:
        return [str(point) for point in points_to_measure(recommender, preset)]

    assert texts(together, PRESET) == ["without generator", "1 x 10", "1 x 20", "1 x 50", "3 x 20", "3 x 50"]
    assert texts(generated_alone.ranked_by(before), ServingPoint(2, 30)) == ["1 x 10", "1 x 20", "2 x 30"]
    assert texts(generated_alone, ServingPoint(5, 50)) == ["1 x 50", "3 x 50", "5 x 50"]
    assert texts(generated_alone, ServingPoint(1, 20)) == ["1 x 20"]
    without_beams = dataclasses.replace(together, generator=RecordingGenerator())
    assert texts(without_beams, PRESET) == ["without generator", "3 x 50"]


def test_every_quality_of_the_service_is_chosen() -> None:
    assert tuple(choose_points({NARROW: np.zeros(2)})) == QUALITIES
