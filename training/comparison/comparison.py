"""Turn several rankers' rankings of the same users into one table: figures, slices, paired differences.

Knows ranks, slices and intervals; knows nothing of where rankings come from or how a table is shown.
Start at `compare_rankings`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float64, Int

from clairo_core.progress import Progress, silent
from training.comparison.run_details import RunDetails
from training.evaluation.metrics import METRICS, bootstrap_interval
from training.evaluation.rankings import SEEN_ITEMS, Rankings
from training.evaluation.slices import Breadth, UserSlice, breadth_of, mean_breadth

SLICED_METRICS = ("recall@10", "ndcg@10")
"""Shown by slice and as differences; the whole split has all metrics."""
MANY_RANKERS = 4
"""From so many on, not every two are compared on the page: the pairs grow with the square."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric's mean over some users and all seeds, with its 95% bootstrap interval over the users."""

    ranker: str
    seen_items: str
    slice_kind: str
    slice_label: str
    num_users: int
    metric: str
    value: float
    low: float
    high: float
    num_seeds: int
    spread: float
    """Standard deviation of the mean over users from seed to seed; 0 for a ranker that ran once."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`ranker` minus `other` over the same users: an interval clear of zero is no accident.

    A ranker with several seeds stands for each user with the mean over them.
    """

    ranker: str
    other: str
    seen_items: str
    slice_kind: str
    slice_label: str
    num_users: int
    metric: str
    value: float
    low: float
    high: float

    def turned(self) -> "Difference":
        """The same, said of the other."""
        return replace(self, ranker=self.other, other=self.ranker, value=-self.value, low=-self.high, high=-self.low)


@dataclass(frozen=True, slots=True)
class BreadthRow:
    """How widely a ranker recommends in one seen-item mode: the mean over its seeds."""

    ranker: str
    seen_items: str
    breadth: Breadth


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that the report shows."""

    dataset: str
    split: str
    num_users: int
    num_users_in_split: int
    num_items: int
    num_resamples: int
    notes: Mapping[str, str]
    """What is to be said of each ranker, such as the settings chosen; in the order of the table."""
    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]
    breadths: tuple[BreadthRow, ...]
    details: Mapping[str, tuple[RunDetails, ...]]
    """How each ranker learned and how fast it answers, one for each seed."""

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @property
    def rankers(self) -> tuple[str, ...]:
        """In the order of the table."""
        return tuple(self.notes)

    def figure(self, ranker: str, seen_items: str, metric: str, slice_label: str = "all", kind: str = "all") -> Figure:
        """One figure of the table."""
        wanted = (ranker, seen_items, metric, kind, slice_label)
        return next(
            figure
            for figure in self.figures
            if (figure.ranker, figure.seen_items, figure.metric, figure.slice_kind, figure.slice_label) == wanted
        )

    def shown_differences(self, seen_items: str) -> tuple[Difference, ...]:
        """NDCG@10 over all users: every pair of a few rankers; of many, the best against each of the others."""
        rows = tuple(
            row
            for row in self.differences
            if (row.slice_kind, row.metric, row.seen_items) == ("all", "ndcg@10", seen_items)
        )
        if len(self.rankers) <= MANY_RANKERS:
            return rows
        best = max(self.rankers, key=lambda ranker: self.figure(ranker, seen_items, "ndcg@10").value)
        turned = (row if row.ranker == best else row.turned() for row in rows if best in (row.ranker, row.other))
        return tuple(turned)

    def breadth(self, ranker: str, seen_items: str) -> Breadth:
        """How widely `ranker` recommends."""
        return next(row.breadth for row in self.breadths if (row.ranker, row.seen_items) == (ranker, seen_items))


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures and differences of the rankers, in the order in which they were given."""

    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]
    breadths: tuple[BreadthRow, ...]


def compare_rankings(
    rankings: Mapping[str, Sequence[Rankings]],
    slices: tuple[UserSlice, ...],
    training_counts: Int[np.ndarray, "item"],
    num_resamples: int,
    progress: Progress[UserSlice] = silent,
) -> Measured:
    """Every ranker in both modes on every slice, and every two rankers against one another.

    Users are resampled within a slice, the same draws for all rankers. `rankings` holds one for each seed.
    """
    figures: list[Figure] = []
    differences: list[Difference] = []
    for part in progress(slices, "intervals", len(slices)):
        metrics = tuple(METRICS) if part.kind == "all" else SLICED_METRICS
        place = (part.kind, part.label, int(part.is_in.sum()))
        keys: list[tuple[str, str, str]] = []
        columns: list[Float64[np.ndarray, "user"]] = []
        seeds: list[tuple[int, float]] = []
        for seen_items in SEEN_ITEMS:
            for ranker, runs in rankings.items():
                for metric in metrics:
                    keys.append((ranker, seen_items, metric))
                    by_run = np.stack([METRICS[metric](run[seen_items].ranks[part.is_in]) for run in runs])
                    columns.append(by_run.mean(axis=0))
                    seeds.append((len(runs), float(by_run.mean(axis=1).std(ddof=1)) if len(runs) > 1 else 0.0))
        column_of = dict(zip(keys, columns, strict=True))
        pairs = [
            (ranker, other, seen_items, metric)
            for seen_items in SEEN_ITEMS
            for other, ranker in combinations(rankings, 2)
            for metric in SLICED_METRICS
        ]
        columns += [column_of[one, mode, metric] - column_of[other, mode, metric] for one, other, mode, metric in pairs]
        values = np.stack(columns, axis=1)
        lows, highs = bootstrap_interval(values, num_resamples, seed=0)
        spans = list(zip(values.mean(axis=0).tolist(), lows.tolist(), highs.tolist(), strict=True))
        for (ranker, seen_items, metric), span, of_seeds in zip(keys, spans, seeds, strict=False):
            figures.append(Figure(ranker, seen_items, *place, metric, *span, *of_seeds))
        for (ranker, other, seen_items, metric), span in zip(pairs, spans[len(keys) :], strict=True):
            differences.append(Difference(ranker, other, seen_items, *place, metric, *span))
    breadths = tuple(
        BreadthRow(
            ranker, seen_items, mean_breadth([breadth_of(run[seen_items].shown, training_counts) for run in runs])
        )
        for seen_items in SEEN_ITEMS
        for ranker, runs in rankings.items()
    )
    return Measured(tuple(figures), tuple(differences), breadths)
