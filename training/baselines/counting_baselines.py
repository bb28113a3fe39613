"""Baselines that count or solve a closed form, by name: candidate settings, and the choice among them on validation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clairo_core.errors import TrainingError
from clairo_core.progress import Progress
from clairo_core.sequences import ItemSequences
from training.baselines import item_graph, slist, tale, vsknn
from training.counts import ease, markov, sparse_ease
from training.counts.fit_item_weights import pair_counts
from training.datasets.dataset import Dataset
from training.evaluation.choose_settings import Choice
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.split import EvaluationSplit

MAX_DENSE_ITEMS = 20_000
"""A closed form has two square matrices in single precision, 1.6 GB each for so many items. More have sparse EASE."""
PER_ITEM = 300
"""Pairs and weights of sparse EASE."""


@dataclass(frozen=True, slots=True)
class CountingBaseline:
    """One baseline."""

    grid: Sequence[Any]
    """Candidate settings, each a dataclass of numbers."""
    choose: Callable[[Dataset, ItemSequences, EvaluationSplit, Progress], Choice[Any]]
    """Data set, training sequences and validation users -> the best candidate."""
    max_items: int | None = None


def _of_sequences(
    choose: Callable[[ItemSequences, int, EvaluationSplit, Progress], Choice[Any]],
) -> Callable[[Dataset, ItemSequences, EvaluationSplit, Progress], Choice[Any]]:
    return lambda dataset, training, validation, progress: choose(training, len(dataset.items), validation, progress)


def fit_ease_of(settings: Mapping[str, Any], training: ItemSequences, num_items: int) -> ItemScorer:
    """Fit the form of EASE that `_choose_ease` chose these settings for."""
    if "num_pairs" not in settings:
        return ease.fit_ease(training, num_items, ease.EaseSettings(**settings))
    together, users = pair_counts(training, num_items, PER_ITEM), ease.count_users(training, num_items)
    return sparse_ease.fit_sparse_ease(together, users, sparse_ease.SparseEaseSettings(**settings), PER_ITEM)


def _choose_ease(
    dataset: Dataset, training: ItemSequences, validation: EvaluationSplit, progress: Progress
) -> Choice[Any]:
    num_items = len(dataset.items)
    if num_items <= MAX_DENSE_ITEMS:
        return ease.choose_ease(training, num_items, validation, progress)
    together, users = pair_counts(training, num_items, PER_ITEM), ease.count_users(training, num_items)
    grid = tuple(sparse_ease.SparseEaseSettings(each.regularization, each.decay) for each in ease.GRID)
    return sparse_ease.choose_sparse_ease(together, users, validation, grid, PER_ITEM, progress)


COUNTING_BASELINES = {
    "markov": CountingBaseline(markov.GRID, _of_sequences(markov.choose_markov)),
    "ease": CountingBaseline(ease.GRID, _choose_ease),
    "graph": CountingBaseline(item_graph.GRID, item_graph.choose_item_graph),
    "vsknn": CountingBaseline(vsknn.GRID, _of_sequences(vsknn.choose_vsknn)),
    "slist": CountingBaseline(slist.GRID, _of_sequences(slist.choose_slist), MAX_DENSE_ITEMS),
    "tale": CountingBaseline(tale.GRID, _of_sequences(tale.choose_tale), MAX_DENSE_ITEMS),
}
"""By name, in the order of the table."""


def check_catalogue(names: Sequence[str], num_items: int) -> None:
    """Refuse baselines that cannot take so many items; other names pass.

    Raises:
        TrainingError: item-item matrices would not fit.
    """
    for name in names:
        max_items = COUNTING_BASELINES[name].max_items if name in COUNTING_BASELINES else None
        if max_items is not None and num_items > max_items:
            raise TrainingError(
                f"{name}: the data set has {num_items:,} items, expected at most {max_items:,}, since its item-item "
                "matrices are dense; leave it out of --baselines"
            )
