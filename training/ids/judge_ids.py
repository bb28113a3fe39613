"""Judge a file of ids against a dataset, and write the report: text, JSON, and a page. Start at `judge_ids`."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from clairo_core.errors import DatasetError
from clairo_core.generation.t5.generator import choose_device
from clairo_core.progress import Progress
from clairo_core.sequences import ItemSequences
from clairo_core.storage.replaced_file import replace_text
from clairo_core.values.counted import counted
from clairo_core.values.ids import shown
from training.config.load_preset import DEFAULT_PRESET, load_preset
from training.datasets import Dataset, check_pictures, load_dataset
from training.ids.ids_figures import figures_of
from training.ids.ids_page import page_of
from training.ids.ids_text import text_of
from training.ids.item_ids import ItemIds, load_ids
from training.items.encode_stage import encode_stage
from training.items.fuse_stage import fuse_stage
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench


def judge_ids(path: Path, data: Path, out: Path, device: str, progress: Progress, report: Callable[[str], None]) -> str:
    """Write report.html and report.json into `out`, and return the report as text.

    Content is encoded as by the default preset, without behaviour; unchanged stages beside `out` are reused. Histories
    are those that training learns from.

    Raises:
        DatasetError: the ids or the dataset cannot be read, or have no item in common.
    """
    ids = load_ids(path)
    dataset = replace(load_dataset(data, progress=progress), semantic_ids=None)
    if "image" in dataset.modalities:
        dataset = check_pictures(dataset, progress)
    rows, rows_of_ids = _common_rows(path, ids, dataset)
    num_without_ids = len(dataset.items) - len(rows)
    if num_without_ids:
        report(f"note: {counted(num_without_ids, 'item')} of {dataset.name} have no id in {path} and are left out")
    preset = load_preset(DEFAULT_PRESET)
    preset = replace(
        preset, encode=replace(preset.encode, modalities=dataset.modalities), align=replace(preset.align, dim=0)
    )
    stages = StageCache(out.parent / ".stages", report)
    bench = Workbench(dataset, preset, 0, choose_device(device), stages, progress, report)
    judged = ids.of_rows(rows_of_ids)
    content = _content(bench)
    figures = figures_of(
        judged,
        None if content is None else content[rows],
        _histories_of(bench.crowd, rows, len(dataset.items)),
        num_without_ids=num_without_ids,
    )
    out.mkdir(parents=True, exist_ok=True)
    document = {"ids": str(path), "origin": ids.origin.name, "dataset": dataset.name, **figures.as_dict()}
    replace_text(out / "report.json", json.dumps(document, indent=1))
    items = [dataset.items[row] for row in rows.tolist()]
    replace_text(out / "report.html", page_of(judged, figures, dataset.name, items, progress))
    return text_of(figures, f"{path.name} ({ids.origin.name})", dataset.name)


def _common_rows(
    path: Path, ids: ItemIds, dataset: Dataset
) -> tuple[Int64[np.ndarray, "common"], Int64[np.ndarray, "common"]]:
    """Rows of the dataset's items that have ids, and of their ids."""
    row_of = {item_id: row for row, item_id in enumerate(ids.item_ids)}
    found = np.array([row_of.get(item.item_id, -1) for item in dataset.items], dtype=np.int64)
    if (found < 0).all():
        raise DatasetError(
            f"{path} has ids for items such as {shown(ids.item_ids[0])}, {dataset.name} has items such as "
            f"{shown(dataset.items[0].item_id)}; name the data set of the ids. Published ids often number the items: "
            "name the column of numbers as items_column in [codes], then take the ids from clairo-train ids make"
        )
    return np.flatnonzero(found >= 0), found[found >= 0]


def _content(bench: Workbench) -> Float32[np.ndarray, "item dim"] | None:
    """Every item's embedding by content alone; None in a dataset of ids alone."""
    if not bench.dataset.modalities:
        return None
    encoded = {modality: encode_stage(bench, modality) for modality in bench.dataset.modalities}
    return fuse_stage(bench, encoded).fused.item_embeddings


def _histories_of(histories: ItemSequences, rows: Int64[np.ndarray, "item"], num_items: int) -> ItemSequences:
    """Histories with some of the items, renumbered as their order in `rows`."""
    number = np.full(num_items, -1, dtype=np.int32)
    number[rows] = np.arange(len(rows))
    kept = histories.where(number[histories.items] >= 0)
    return replace(kept, items=number[kept.items])
