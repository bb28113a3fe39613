"""Turn several rankers' rankings of the same users into one table: figures, slices, paired differences.

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
from training.evaluation.rankings import Rankings
from training.evaluation.slices import Breadth, UserSlice, breadth_of, mean_breadth
from training.evaluation.split import SEEN_ITEMS
from training.evaluation.split_description import LEAVE_LAST_OUT, SplitDescription

SLICED_METRICS = ("recall@10", "ndcg@10")
"""Metrics of slices and differences; the whole split has all metrics."""
MANY_RANKERS = 4
"""Up to this many rankers, every pair is shown; of more, the best against each other one."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Mean of a metric over the users of a slice and all seeds, with its 95% bootstrap interval over users."""

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
    """Standard deviation over seeds of the mean over users; 0 with one seed."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`ranker` minus `other` over the same users, significant if the interval excludes zero.

    Each user counts with the mean over a ranker's seeds.
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
        """The difference with both rankers exchanged."""
        return replace(self, ranker=self.other, other=self.ranker, value=-self.value, low=-self.high, high=-self.low)


@dataclass(frozen=True, slots=True)
class BreadthRow:
    """Breadth of a ranker in one seen-item mode, averaged over its seeds."""

    ranker: str
    seen_items: str
    breadth: Breadth


@dataclass(frozen=True, slots=True)
class Comparison:
    """All contents of the report."""

    dataset: str
    split: str
    num_users: int
    num_users_in_split: int
    num_items: int
    num_resamples: int
    notes: Mapping[str, str]
    """Remarks by ranker, such as the chosen settings; in the order of the table."""
    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]
    breadths: tuple[BreadthRow, ...]
    details: Mapping[str, tuple[RunDetails, ...]]
    """Training curves, code use and answering times by ranker, one entry per seed."""
    held_out: SplitDescription = LEAVE_LAST_OUT

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @property
    def rankers(self) -> tuple[str, ...]:
        """Names of the rankers in the order of the table."""
        return tuple(self.notes)

    @property
    def modes(self) -> tuple[str, ...]:
        """Seen-item modes in which some user has a target."""
        return tuple(mode for mode in SEEN_ITEMS if any(figure.seen_items == mode for figure in self.figures))

    @property
    def num_seeds(self) -> int:
        """The most seeds of a ranker."""
        return max(figure.num_seeds for figure in self.figures)

    def same_mode(self, seen_items: str) -> str:
        """The first mode with the very figures of this one: without repeats, weighed and masked agree."""

        def rows(mode: str) -> list[object]:
            every: tuple[Figure | BreadthRow | Difference, ...] = (*self.figures, *self.breadths, *self.differences)
            return [replace(row, seen_items="") for row in every if row.seen_items == mode]

        return next(mode for mode in self.modes if rows(mode) == rows(seen_items))

    def num_targets(self, seen_items: str) -> int:
        """On how many users' targets this mode's figures rest."""
        return self.figure(self.rankers[0], seen_items, "ndcg@10").num_users

    def slice_sizes(self, seen_items: str, kind: str) -> dict[str, int]:
        """Number of users per slice label, in the order of the slices."""
        wanted = (seen_items, kind)
        rows = (figure for figure in self.figures if (figure.seen_items, figure.slice_kind) == wanted)
        return {figure.slice_label: figure.num_users for figure in rows}

    def figure(self, ranker: str, seen_items: str, metric: str, slice_label: str = "all", kind: str = "all") -> Figure:
        """One figure of the table."""
        wanted = (ranker, seen_items, metric, kind, slice_label)
        return next(
            figure
            for figure in self.figures
            if (figure.ranker, figure.seen_items, figure.metric, figure.slice_kind, figure.slice_label) == wanted
        )

    def shown_differences(self, seen_items: str) -> tuple[Difference, ...]:
        """Differences in NDCG@10 over all users: every pair of few rankers; of many, the best against each other."""
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
        """Breadth of `ranker`."""
        return next(row.breadth for row in self.breadths if (row.ranker, row.seen_items) == (ranker, seen_items))


@dataclass(frozen=True, slots=True)
class RankerFigures:
    """Figures, differences and breadths of all rankers, in the order given."""

    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]
    breadths: tuple[BreadthRow, ...]


def compare_rankings(
    rankings: Mapping[str, Sequence[Rankings]],
    slices: Mapping[str, tuple[UserSlice, ...]],
    training_counts: Int[np.ndarray, "item"],
    num_resamples: int,
    progress: Progress[tuple[str, UserSlice]] = silent,
) -> RankerFigures:
    """Measure every ranker in every mode on every slice, and compare every pair of rankers.

    Users are resampled within a slice, with the same draws for all rankers. `rankings` holds one entry per seed,
    `slices` those of each mode's users.
    """
    figures: list[Figure] = []
    differences: list[Difference] = []
    parts = [(seen_items, part) for seen_items in slices for part in slices[seen_items]]
    for seen_items, part in progress(parts, "intervals", len(parts)):
        metrics = tuple(METRICS) if part.kind == "all" else SLICED_METRICS
        num_users = next(len(runs[0][seen_items].ranks[part.is_in]) for runs in rankings.values())
        place = (part.kind, part.label, num_users)
        column_of: dict[tuple[str, str], Float64[np.ndarray, "user"]] = {}
        seeds: list[tuple[int, float]] = []
        for ranker, runs in rankings.items():
            for metric in metrics:
                by_run = np.stack([METRICS[metric](run[seen_items].ranks[part.is_in]) for run in runs])
                column_of[ranker, metric] = by_run.mean(axis=0)
                seeds.append((len(runs), float(by_run.mean(axis=1).std(ddof=1)) if len(runs) > 1 else 0.0))
        pairs = [(ranker, other, metric) for other, ranker in combinations(rankings, 2) for metric in SLICED_METRICS]
        gains = [column_of[ranker, metric] - column_of[other, metric] for ranker, other, metric in pairs]
        values = np.stack([*column_of.values(), *gains], axis=1)
        lows, highs = bootstrap_interval(values, num_resamples, seed=0)
        spans = list(zip(values.mean(axis=0).tolist(), lows.tolist(), highs.tolist(), strict=True))
        for (ranker, metric), span, of_seeds in zip(column_of, spans, seeds, strict=False):
            figures.append(Figure(ranker, seen_items, *place, metric, *span, *of_seeds))
        for (ranker, other, metric), span in zip(pairs, spans[len(column_of) :], strict=True):
            differences.append(Difference(ranker, other, seen_items, *place, metric, *span))
    breadths = tuple(
        BreadthRow(
            ranker, seen_items, mean_breadth([breadth_of(run[seen_items].shown, training_counts) for run in runs])
        )
        for seen_items in slices
        for ranker, runs in rankings.items()
    )
    return RankerFigures(tuple(figures), tuple(differences), breadths)
