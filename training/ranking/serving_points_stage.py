"""Stage: a recommender and validation users -> the search for each quality, and what each point of a grid gives."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clairo_core.items import UserHistory
from clairo_core.recommender import Recommender
from clairo_core.serving_points import BALANCED, QUALITIES, Points, ServingPoint, in_words, read_points, same_for_all
from clairo_core.storage.replaced_file import replace_text
from training.evaluation.answer_times import time_answers
from training.evaluation.metrics import FEWEST_TARGETS, ndcg_at
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import EvaluationSplit, some_users
from training.ranking.choose_points import best_of, choose_points, points_to_measure, standard_error
from training.workbench.workbench import Workbench

NUM_USERS = 1500
"""Validation users, the same for every seed; fewer if the evaluation takes fewer."""


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """What a search gives, and what it costs."""

    num_views: int
    num_beams: int
    ndcg_at_10: float
    standard_error: float
    """Of the difference to the best point, paired by user."""
    milliseconds: float
    """Median of single requests for ten items, on one thread of the machine that trained."""
    chosen_for: tuple[str, ...]
    """Qualities."""

    @property
    def label(self) -> str:
        """The search and the qualities that use it, such as `1 x 20, balanced`."""
        return ", ".join((str(ServingPoint(self.num_views, self.num_beams)), *self.chosen_for))


@dataclass(frozen=True, slots=True)
class ChosenPoints:
    """The search for each quality."""

    points: Points
    measured: tuple[MeasuredPoint, ...]
    """Cheapest first; empty where there was nothing to choose."""
    num_users: int
    key: str

    def as_dict(self) -> dict[str, object]:
        """The figures, ready for JSON."""
        return {"num_users": self.num_users, "measured": [asdict(point) for point in self.measured]}


def serving_points_stage(bench: Workbench, recommender: Recommender, ranked_by: str) -> ChosenPoints:
    """Measure the points and choose; the preset's for every quality where there is no choice.

    The mixture was fitted at the preset's point, on scores of its search. So a cheaper point is chosen although its own
    mixture might do better, never because of it.

    Args:
        bench: the run's.
        recommender: at the preset's point.
        ranked_by: key of the stage that made its ranking.
    """
    preset = recommender.points[BALANCED]
    points = points_to_measure(recommender, preset)
    num_users = min(NUM_USERS, bench.preset.evaluate.max_users or NUM_USERS)
    users = some_users(bench.validation, num_users, seed=0)

    def build(folder: Path) -> None:
        chosen, measured = same_for_all(preset), []
        if len(points) > 1 and len(users.targets) >= FEWEST_TARGETS:
            ndcgs = {}
            for point in points:
                searched = recommender.with_points(same_for_all(point))
                label = f"serving, {point}"
                ranks, _ = generated_ranks(
                    searched, bench.item_ids, users, False, label, bench.progress, list_length=10
                )
                ndcgs[point] = ndcg_at(ranks, 10)
            chosen, best = choose_points(ndcgs), ndcgs[best_of(ndcgs, points)]
            measured = [
                MeasuredPoint(
                    point.num_views,
                    point.num_beams,
                    float(ndcgs[point].mean()),
                    standard_error(best - ndcgs[point]),
                    milliseconds_of(recommender.with_points(same_for_all(point)), bench.item_ids, users),
                    tuple(quality for quality in QUALITIES if chosen[quality] == point),
                )
                for point in points
            ]
        saved = {
            "points": {quality: asdict(point) for quality, point in chosen.items()},
            "measured": [asdict(point) for point in measured],
        }
        replace_text(folder / "points.json", json.dumps(saved))

    inputs = {
        "ranked_by": ranked_by,
        "points": [asdict(point) for point in points],
        "preset": asdict(preset),
        "users": num_users,
    }
    stage = bench.stages.run("serving-points", inputs, build, lambda folder: _load(folder / "points.json"))
    chosen = ChosenPoints(*stage.result, len(users.targets), stage.key)
    bench.report(f"serving: {described(chosen)}")
    return chosen


def milliseconds_of(recommender: Recommender, item_ids: tuple[str, ...], users: EvaluationSplit) -> float:
    """Time a request, one after another."""

    def answer(user: int) -> object:
        return recommender.recommend(UserHistory(tuple(item_ids[row] for row in users.histories[user])), 10)

    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return float(np.median(time_answers(answer, len(users.targets))))
    finally:
        torch.set_num_threads(num_threads)


def described(chosen: ChosenPoints) -> str:
    """The points as text, with the figures of each."""
    if not chosen.measured:
        return f"{in_words(chosen.points)}, as in the preset"
    texts = (
        f"{point.label} (NDCG@10 {point.ndcg_at_10:.4f}, {point.milliseconds:.3g} ms)"
        for point in chosen.measured
        if point.chosen_for
    )
    return f"{'; '.join(texts)}; chosen on {chosen.num_users:,} validation users"


def read_measured(saved: Mapping[str, Any]) -> MeasuredPoint:
    """Read a point from JSON."""
    return MeasuredPoint(**{**saved, "chosen_for": tuple(saved["chosen_for"])})


def _load(path: Path) -> tuple[Points, tuple[MeasuredPoint, ...]]:
    saved: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read_points(saved["points"]), tuple(read_measured(point) for point in saved["measured"])
