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
from training.comparison.figures import Comparison
from training.comparison.html_page import html_of
from training.datasets import Dataset
from training.evaluation.rankings import Rankings
from training.evaluation.split import ALLOWED, MASKED, WEIGHED, HeldOut


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
    _write_table(out / "figures.parquet", pa.Table.from_pylist([asdict(figure) for figure in comparison.figures]))
    if comparison.differences:
        rows = [asdict(difference) for difference in comparison.differences]
        _write_table(out / "differences.parquet", pa.Table.from_pylist(rows))
    _write_table(out / "ranks.parquet", _ranks_table(rankings, dataset, targets, training_counts))
    replace_text(out / "results.json", json.dumps(comparison.as_dict(), indent=1))
    replace_text(out / "report.html", html_of(comparison))


def _ranks_table(
    rankings: Mapping[str, Sequence[Rankings]],
    dataset: Dataset,
    targets: HeldOut,
    training_counts: Int[np.ndarray, "item"],
) -> pa.Table:
    """One row per user: both targets, and their ranks by each ranker and seed; 0 is a miss.

    The columns of masked targets are null for users without one, and left out if nobody has one.
    """
    split = targets[ALLOWED]
    columns: dict[str, Sequence[str] | np.ndarray | pa.Array] = {
        "user_id": [dataset.user_ids[row] for row in split.user_rows],
        "target_item_id": [dataset.items[target].item_id for target in split.targets],
        "target_training_count": training_counts[split.targets],
        "history_length": split.histories.lengths,
    }
    masked = targets.get(MASKED)
    row_of = {} if masked is None else {int(user): row for row, user in enumerate(masked.user_rows)}
    rows = [row_of.get(int(user)) for user in split.user_rows]
    if masked is not None:
        ids = [dataset.items[target].item_id for target in masked.targets]
        columns["masked_target_item_id"] = pa.array([None if row is None else ids[row] for row in rows], pa.string())
    for ranker, runs in rankings.items():
        for seed, run in enumerate(runs):
            name = f"{ranker}, seed {seed}" if len(runs) > 1 else ranker
            for mode in (ALLOWED, WEIGHED):
                columns[f"{name}, seen {mode}"] = run[mode].ranks
            if masked is not None:
                ranks = run[MASKED].ranks.tolist()
                columns[f"{name}, seen {MASKED}"] = pa.array(
                    [None if row is None else ranks[row] for row in rows], pa.int64()
                )
    return pa.table(columns)


def _write_table(path: Path, table: pa.Table) -> None:
    with replaced_file(path) as aside:
        pq.write_table(table, aside)
