"""What is to be said of one trained run beside its ranks: how it learned, what its codes hold, how fast it answers.

Knows numbers and one JSON file; knows nothing of charts. `details_of_bundle` reads them off a bundle.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from clairo_core.features import COLLISION_CATEGORY
from clairo_core.storage.replaced_file import replace_text

ANSWERS_TIMED = 40
ANSWERS_UNTIMED = 5
"""Answers before those, in which code is compiled and caches fill."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Training and validation, epoch by epoch."""

    losses: tuple[float, ...]
    validation_ndcgs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CategoryUse:
    """How a catalogue uses one category of its feature sets."""

    name: str
    size: int
    num_used: int
    perplexity: float
    """So many codes used equally often would tell items apart as well."""


@dataclass(frozen=True, slots=True)
class RunDetails:
    """One run of a ranker."""

    milliseconds: tuple[float, ...] = ()
    """How long one user's first ten items took, for some users one after the other."""
    curve: Curve | None = None
    categories: tuple[CategoryUse, ...] = ()
    """Of the codes, without the collision index; none where a ranker has no codes."""
    share_colliding: float = 0.0
    """Share of items whose codes another item has too, so that the collision index tells them apart."""

    def save(self, path: Path) -> None:
        """Write JSON, aside and renamed."""
        replace_text(path, json.dumps(asdict(self)))


def load_details(path: Path) -> RunDetails:
    """Read what `RunDetails.save` wrote."""
    read = json.loads(path.read_text(encoding="utf-8"))
    curve = read["curve"] and curve_of(read["curve"])
    categories = tuple(CategoryUse(**category) for category in read["categories"])
    return RunDetails(tuple(read["milliseconds"]), curve, categories, read["share_colliding"])


def curve_of(fit: Mapping[str, Any]) -> Curve:
    """The curve in what a training wrote of itself; empty where it says nothing."""
    return Curve(tuple(fit.get("losses", ())), tuple(fit.get("validation_ndcgs", ())))


def details_of_bundle(
    manifest_metrics: Mapping[str, Any],
    feature_sets: Int[np.ndarray, "item category"],
    category_names: tuple[str, ...],
    category_sizes: tuple[int, ...],
    milliseconds: tuple[float, ...],
) -> RunDetails:
    """What a bundle's manifest and catalogue say."""
    is_code = np.array([name != COLLISION_CATEGORY for name in category_names])
    counts = [np.bincount(column) for column in feature_sets.T]
    categories = tuple(
        CategoryUse(name, size, int(np.count_nonzero(count)), perplexity(count))
        for name, size, count, shown in zip(category_names, category_sizes, counts, is_code, strict=True)
        if shown
    )
    _, group, sizes = np.unique(feature_sets[:, is_code], axis=0, return_inverse=True, return_counts=True)
    share = float((sizes[group.ravel()] > 1).mean()) if len(feature_sets) else 0.0
    return RunDetails(milliseconds, curve_of(manifest_metrics.get("fit", {})), categories, share)


def perplexity(counts: Int[np.ndarray, "code"]) -> float:
    """e to the entropy of how often each code is used.

    >>> round(perplexity(np.array([3, 3, 0])), 9)
    2.0
    """
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def time_answers(answer: Callable[[int], object], num_users: int) -> tuple[float, ...]:
    """Milliseconds of `answer(user)` for the first users, after a few that do not count."""
    milliseconds = []
    for number in range(min(ANSWERS_UNTIMED + ANSWERS_TIMED, num_users)):
        started = time.perf_counter()
        answer(number)
        milliseconds.append((time.perf_counter() - started) * 1000)
    return tuple(milliseconds[ANSWERS_UNTIMED:] or milliseconds)
