"""Write a comparison as JSON, Parquet and HTML."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int

from clairo_core.storage.replaced_file import replace_text, replaced_file
from training.comparison.figures import Comparison, Difference, Figure
from training.comparison.html_page import html_of
from training.datasets import Dataset
from training.evaluation.metrics import places_of
from training.evaluation.rankings import Rankings
from training.evaluation.split import ALLOWED, MASKED, WEIGHED, EvaluationSplit, HeldOut


def write_comparison(
    out: Path,
    comparison: Comparison,
    rankings: Mapping[str, Sequence[Rankings]],
    dataset: Dataset,
    targets: HeldOut,
    training_counts: Int[np.ndarray, "item"],
) -> None:
    """Write `report.html`, `results.json`, `figures.parquet`, `differences.parquet` and `ranks.parquet` (per user).

    Each file is replaced whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    _write_table(out / "figures.parquet", _with_split(comparison.figures, comparison))
    if comparison.differences:
        _write_table(out / "differences.parquet", _with_split(comparison.differences, comparison))
    _write_table(out / "ranks.parquet", _ranks_table(rankings, dataset, targets, training_counts))
    replace_text(out / "results.json", json.dumps(comparison.as_dict(), indent=1))
    replace_text(out / "report.html", html_of(comparison))


def _with_split(rows: Sequence[Figure] | Sequence[Difference], comparison: Comparison) -> pa.Table:
    of_all = {"split": comparison.split, "held_out": comparison.held_out.rule}
    return pa.Table.from_pylist([asdict(row) | of_all for row in rows])


def _ranks_table(
    rankings: Mapping[str, Sequence[Rankings]],
    dataset: Dataset,
    targets: HeldOut,
    training_counts: Int[np.ndarray, "item"],
) -> pa.Table:
    """One row per user: both targets, and their ranks by each ranker and seed; 0 is a miss.

    The columns of masked targets are null for users without one, and left out if nobody has one. Where users have
    several targets, one row for each.
    """
    split = targets[ALLOWED]
    users = split.users_of_targets
    columns: dict[str, Sequence[str] | np.ndarray | pa.Array] = {
        "user_id": [dataset.user_ids[row] for row in split.user_rows[users]],
        "target_item_id": [dataset.items[target].item_id for target in split.target_items],
        "target_training_count": training_counts[split.target_items],
        "history_length": split.histories.lengths[users],
    }
    masked = targets.get(MASKED)
    # By time, both targets are one item; else each user has one of each kind.
    row_of = {} if masked is None else {key: row for row, key in enumerate(_keys(masked))}
    rows = [row_of.get(key) for key in _keys(split)]
    if masked is not None:
        ids = [dataset.items[target].item_id for target in masked.target_items]
        columns["masked_target_item_id"] = pa.array([None if row is None else ids[row] for row in rows], pa.string())
    for ranker, runs in rankings.items():
        for seed, run in enumerate(runs):
            name = f"{ranker}, seed {seed}" if len(runs) > 1 else ranker
            for mode in (ALLOWED, WEIGHED):
                columns[f"{name}, seen {mode}"] = places_of(run[mode].ranks)
            if masked is not None:
                ranks = places_of(run[MASKED].ranks).tolist()
                columns[f"{name}, seen {MASKED}"] = pa.array(
                    [None if row is None else ranks[row] for row in rows], pa.int64()
                )
    return pa.table(columns)


def _keys(split: EvaluationSplit) -> list[tuple[int, int]]:
    """What identifies each target across modes: its user, and the item where he has several."""
    users = split.user_rows[split.users_of_targets].tolist()
    items = [0] * len(users) if split.all_targets is None else split.target_items.tolist()
    return list(zip(users, items, strict=True))


def _write_table(path: Path, table: pa.Table) -> None:
    with replaced_file(path) as aside:
        pq.write_table(table, aside)
