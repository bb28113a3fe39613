"""Details of one ranker's run beside its ranks: training curve, use of codes, answering times."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from clairo_core.features import COLLISION_CATEGORY
from clairo_core.storage.replaced_file import replace_text
from training.ranking.serving_points_stage import MeasuredPoint, read_measured


@dataclass(frozen=True, slots=True)
class Curve:
    """Training loss and validation NDCG@10 by epoch."""

    losses: tuple[float, ...]
    validation_ndcgs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CategoryUse:
    """Use of one feature category in a catalogue."""

    name: str
    size: int
    num_used: int
    perplexity: float
    """Effective number of codes: e to the entropy of code use."""


@dataclass(frozen=True, slots=True)
class RunDetails:
    """Details of one run."""

    milliseconds: tuple[float, ...] = ()
    """Time of the first ten items for one user, measured user by user."""
    curve: Curve | None = None
    categories: tuple[CategoryUse, ...] = ()
    """Codebooks, without the collision index; empty for rankers without codes."""
    share_colliding: float = 0.0
    """Share of items that share all codes with another item, distinguished only by the collision index."""
    searches: tuple[MeasuredPoint, ...] = ()
    """Cheapest first; empty for rankers that do not search."""

    def save(self, path: Path) -> None:
        """Write JSON, replacing the file whole."""
        replace_text(path, json.dumps(asdict(self)))


def load_details(path: Path) -> RunDetails:
    """Read a file of `RunDetails.save`."""
    read = json.loads(path.read_text(encoding="utf-8"))
    curve = read["curve"] and curve_of(read["curve"])
    categories = tuple(CategoryUse(**category) for category in read["categories"])
    searches = tuple(read_measured(search) for search in read.get("searches", ()))
    return RunDetails(tuple(read["milliseconds"]), curve, categories, read["share_colliding"], searches)


def curve_of(fit: Mapping[str, Any]) -> Curve:
    """Read the curve from a fit's saved state; empty without losses."""
    return Curve(tuple(fit.get("losses", ())), tuple(fit.get("validation_ndcgs", ())))


def details_of_bundle(
    manifest_metrics: Mapping[str, Any],
    feature_sets: Int[np.ndarray, "item category"],
    category_names: tuple[str, ...],
    category_sizes: tuple[int, ...],
    milliseconds: tuple[float, ...],
) -> RunDetails:
    """Collect details from a bundle's manifest and catalogue."""
    is_code = np.array([name != COLLISION_CATEGORY for name in category_names])
    counts = [np.bincount(column) for column in feature_sets.T]
    categories = tuple(
        CategoryUse(name, size, int(np.count_nonzero(count)), perplexity(count))
        for name, size, count, shown in zip(category_names, category_sizes, counts, is_code, strict=True)
        if shown
    )
    _, group, sizes = np.unique(feature_sets[:, is_code], axis=0, return_inverse=True, return_counts=True)
    share = float((sizes[group.ravel()] > 1).mean()) if len(feature_sets) else 0.0
    searches = tuple(read_measured(point) for point in manifest_metrics.get("serving", {}).get("measured", ()))
    return RunDetails(milliseconds, curve_of(manifest_metrics.get("fit", {})), categories, share, searches)


def perplexity(counts: Int[np.ndarray, "code"]) -> float:
    """e to the entropy of code use.

    >>> round(perplexity(np.array([3, 3, 0])), 9)
    2.0
    """
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
