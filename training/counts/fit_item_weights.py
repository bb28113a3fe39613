"""Turn training sequences into item weights: counts of followers, the strongest weights of EASE, and pair counts."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from scipy import sparse

from clairo_core.progress import Progress
from clairo_core.ranking import ItemWeights, RowScale
from clairo_core.ranking.joint_ranking import EASE, FOLLOWERS
from clairo_core.sequences import ItemSequences
from training.config.preset import MixSettings
from training.counts import ease, markov, strongest_entries
from training.counts.count_pairs import counting_pairs
from training.counts.ease import ROWS_AT_ONCE, count_users, users_by_items, users_of
from training.counts.sparse_ease import SparseEaseSettings, choose_sparse_ease, fit_sparse_ease
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.engines.row_pieces import row_pieces
from training.evaluation.split import EvaluationSplit

_LEAST_AGE_WEIGHT = 1e-3
"""Below this weight, an item of the history changes no ranking."""


def fit_item_weights(
    training: ItemSequences,
    num_items: int,
    together: sparse.csr_matrix,
    validation: EvaluationSplit,
    settings: MixSettings,
    progress: Progress,
) -> tuple[Mapping[str, ItemWeights], Mapping[str, Mapping[str, float]]]:
    """Item weights and chosen settings by component. EASE is sparse above `settings.max_ease_items`."""
    chosen = {FOLLOWERS: asdict(markov.choose_markov(training, num_items, validation, progress).settings)}
    if num_items <= settings.max_ease_items:
        chosen[EASE] = asdict(ease.choose_ease(training, num_items, validation, progress, grid=EASE_GRID).settings)
    else:
        users, per_item = count_users(training, num_items), settings.ease_weights_per_item
        choice = choose_sparse_ease(together, users, validation, SPARSE_EASE_GRID, per_item, progress)
        chosen[EASE] = asdict(choice.settings)
    return dict(item_weights_of(training, num_items, together, chosen, settings.ease_weights_per_item)), chosen


def item_weights_of(
    training: ItemSequences,
    num_items: int,
    together: sparse.csr_matrix,
    chosen: Mapping[str, Mapping[str, Any]],
    ease_weights_per_item: int,
) -> Iterator[tuple[str, ItemWeights]]:
    """Each component and its item weights, with chosen settings; `together` is of `pair_counts`."""
    for component, settings in chosen.items():
        if component == FOLLOWERS:
            yield component, of_markov(markov.fit_markov(training, num_items, markov.MarkovSettings(**settings)))
            continue
        users = count_users(training, num_items)
        if "num_pairs" in settings:
            solved = fit_sparse_ease(together, users, SparseEaseSettings(**settings), ease_weights_per_item)
            weights = ItemWeights(solved.weights, decayed_ages(solved.decay))
        else:
            fitted = ease.fit_ease(training, num_items, ease.EaseSettings(**settings))
            weights = of_ease(fitted, ease_weights_per_item)
        yield component, replace(weights, scale=RowScale(users, settings["regularization"], 1.0))


EASE_GRID = tuple(
    ease.EaseSettings(regularization, decay) for regularization in (100.0, 300.0) for decay in (0.7, 0.8, 0.9)
)
"""Smaller than the baseline's: the mixture makes up for the difference."""
SPARSE_EASE_GRID = tuple(SparseEaseSettings(settings.regularization, settings.decay) for settings in EASE_GRID)


def of_markov(fitted: markov.Markov) -> ItemWeights:
    """Followers of the last items; the r-th last item weighs 1/r."""
    age_weights = 1.0 / (1.0 + np.arange(fitted.num_recent))
    return ItemWeights(fitted.followers.astype(np.float32).tocsr(), age_weights, fitted.scale)


def of_ease(fitted: ease.Ease, weights_per_item: int) -> ItemWeights:
    """Each item's strongest positive weights; an item of the history weighs decay^age."""
    return ItemWeights(strongest(fitted.weights, weights_per_item), decayed_ages(fitted.decay))


def decayed_ages(decay: float) -> Float64[np.ndarray, "age"]:
    """Weights of ages, down to the least that counts."""
    num_ages = 1000 if decay >= 1 else int(np.ceil(np.log(_LEAST_AGE_WEIGHT) / np.log(decay)))
    weights: Float64[np.ndarray, "age"] = decay ** np.arange(num_ages, dtype=np.float64)
    return weights


def strongest(weights: Float32[np.ndarray, "item item"], per_row: int) -> sparse.csr_matrix:
    """The `per_row` highest positive weights of each row."""
    per_row = min(per_row, weights.shape[1])
    blocks = [sparse.csr_matrix((0, weights.shape[1]), dtype=np.float32)]
    # Row numbers of the whole matrix would take twice its memory.
    for start in range(0, len(weights), ROWS_AT_ONCE):
        block = weights[start : start + ROWS_AT_ONCE]
        columns = np.argpartition(-block, per_row - 1, axis=1)[:, :per_row]
        kept = np.take_along_axis(block, columns, axis=1)
        rows = np.repeat(np.arange(len(block)), per_row)
        is_kept = kept.ravel() > 0
        entries = (kept.ravel()[is_kept], (rows[is_kept], columns.ravel()[is_kept]))
        blocks.append(sparse.csr_matrix(entries, shape=block.shape, dtype=np.float32))
    return sparse.vstack(blocks, format="csr")


def pair_counts(
    training: ItemSequences, num_items: int, pairs_per_item: int, engine: Engine = IN_THIS_PROCESS
) -> sparse.csr_matrix:
    """How many users have both items of each pair, by weight, symmetric, zero on the diagonal.

    A pair is kept if it is among the `pairs_per_item` strongest of either item by cosine, count / sqrt(users of each):
    a rare item keeps its link with a bestseller that has hundreds of stronger ones.

    Args:
        training: sequences, one per user.
        num_items: rows and columns of the result.
        pairs_per_item: see above.
        engine: where items' pairs are counted.
    """
    has = users_by_items(training, num_items)
    # An item has at most as many pairs as its users have items.
    num_terms = has.T.astype(np.bool_) @ np.diff(has.indptr).astype(np.int64)
    most_of_row = np.minimum(num_terms, num_items)
    most = int(np.minimum(most_of_row, pairs_per_item).sum())
    # Memory is taken only where it is written.
    columns, counts, written = np.empty(most, np.int32), np.empty(most, np.float32), 0
    offsets = np.zeros(num_items + 1, np.int64)
    pieces = list(row_pieces(num_terms, strongest_entries.MOST_ENTRIES))
    counted = engine.map(partial(counting_pairs, has, users_of(has), most_of_row, pairs_per_item), pieces)
    for rows, pairs in zip(pieces, counted, strict=True):
        entries = slice(written, written + len(pairs.columns))
        columns[entries], counts[entries] = pairs.columns, pairs.counts
        offsets[rows.start + 1 : rows.stop + 1] = written + pairs.row_ends
        written = entries.stop
    strongest_pairs = sparse.csr_matrix((counts[:written], columns[:written], offsets), (num_items, num_items))
    # Counts are symmetric, so the larger of both sides is the count.
    return strongest_pairs.maximum(strongest_pairs.T).tocsr()
