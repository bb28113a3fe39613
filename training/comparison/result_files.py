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
from training.evaluation.rankings import SEEN_ITEMS, Rankings
from training.evaluation.split import EvaluationSplit


def write_comparison(
    out: Path,
    comparison: Comparison,
    rankings: Mapping[str, Sequence[Rankings]],
    dataset: Dataset,
    split: EvaluationSplit,
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
    _write_table(out / "ranks.parquet", _ranks_table(rankings, dataset, split, training_counts))
    replace_text(out / "results.json", json.dumps(comparison.as_dict(), indent=1))
    replace_text(out / "report.html", html_of(comparison))


def _ranks_table(
    rankings: Mapping[str, Sequence[Rankings]],
    dataset: Dataset,
    split: EvaluationSplit,
    training_counts: Int[np.ndarray, "item"],
) -> pa.Table:
    """One row per user: user, target, and its rank by each ranker and seed; 0 is a miss."""
    columns: dict[str, Sequence[str] | np.ndarray] = {
        "user_id": [dataset.user_ids[row] for row in split.user_rows],
        "target_item_id": [dataset.items[target].item_id for target in split.targets],
        "target_training_count": training_counts[split.targets],
        "history_length": split.histories.lengths,
    }
    for ranker, runs in rankings.items():
        for seed, run in enumerate(runs):
            name = f"{ranker}, seed {seed}" if len(runs) > 1 else ranker
            for seen_items in SEEN_ITEMS:
                columns[f"{name}, seen {seen_items}"] = run[seen_items].ranks
    return pa.table(columns)


def _write_table(path: Path, table: pa.Table) -> None:
    with replaced_file(path) as aside:
        pq.write_table(table, aside)
