"""Choose the search for each quality: the cheapest of those that are as accurate as the best. Start at `choose_points`.

As accurate means within half a standard error of the best, the difference paired by user. Cost is counted in beams,
never in seconds: equal data and seeds choose equal points on every machine.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from clairo_core.generation.token_generator import TokenGenerator
from clairo_core.recommender import Recommender
from clairo_core.serving_points import BALANCED, BEST, FAST, WITHOUT_GENERATOR, Points, ServingPoint
from training.evaluation.rankings import LIST_LENGTH

GRID = ((1, 10), (1, 20), (1, 50), (3, 20), (3, 50))
"""Views and beams."""
TOLERANCE = 0.5
"""In standard errors."""


def points_to_measure(recommender: Recommender, preset: ServingPoint) -> list[ServingPoint]:
    """The preset's point, cheaper ones of the grid, and none of the generator if there is a mixture for that.

    Cheapest first. Without a joint ranking a search finds about as many items as it has beams, so those with fewer than
    the tables' lists have places are left out. A generator without views and beams has the preset's point alone.
    """
    joint_ranking, points = recommender.joint_ranking, {preset}
    if isinstance(recommender.generator, TokenGenerator):
        fewest = LIST_LENGTH if joint_ranking is None else 1
        points |= {
            ServingPoint(num_views, num_beams)
            for num_views, num_beams in GRID
            if num_views <= preset.num_views and fewest <= num_beams <= preset.num_beams
        }
    if joint_ranking is not None and joint_ranking.mixture_without_generator is not None:
        points.add(WITHOUT_GENERATOR)
    return sorted(points, key=lambda point: point.cost)


def choose_points(ndcgs: Mapping[ServingPoint, Float[np.ndarray, "user"]]) -> Points:
    """Choose among points measured on the same users; at least one of them generates.

    Returns:
        `best`, the highest mean; `fast`, the cheapest that is as accurate; `balanced`, the cheapest that generates and
        is as accurate as the best that does. Of equal means the cheaper point is better.
    """
    generating = [point for point in ndcgs if point.generates]
    return {
        FAST: cheapest_near_best(ndcgs, ndcgs),
        BALANCED: cheapest_near_best(ndcgs, generating),
        BEST: best_of(ndcgs, ndcgs),
    }


def best_of(ndcgs: Mapping[ServingPoint, Float[np.ndarray, "user"]], points: Iterable[ServingPoint]) -> ServingPoint:
    """The point with the highest mean, the cheapest of equal ones."""
    return max(sorted(points, key=lambda point: point.cost), key=lambda point: float(ndcgs[point].mean()))


def cheapest_near_best(
    ndcgs: Mapping[ServingPoint, Float[np.ndarray, "user"]], points: Iterable[ServingPoint]
) -> ServingPoint:
    """The cheapest point within `TOLERANCE` standard errors of the best."""
    points = list(points)
    best = ndcgs[best_of(ndcgs, points)]
    near = [
        point for point in points if (best - ndcgs[point]).mean() <= TOLERANCE * standard_error(best - ndcgs[point])
    ]
    return min(near, key=lambda point: point.cost)


def standard_error(values: Float[np.ndarray, "user"]) -> float:
    """Of the mean of these values."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))
