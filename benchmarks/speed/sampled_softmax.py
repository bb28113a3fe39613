"""Time the dense head's training step by catalogue, and rank by both of its losses at equal processor time.

    python -m benchmarks.speed.sampled_softmax [--json FILE] [--quick]

Steps are those of preset `clairo` on made histories whose popularity follows Zipf's law, in processor seconds of one
thread. A million items train with the sampled softmax alone; the peak is that of a process which trains, validates and
saves one epoch. Accuracy is masked NDCG@10 of 2,000 validation users of Instruments (`shared` or CLAIRO_SHARED), 6,250
items, by a dense head of the published codes' vectors: the sampled softmax gets the epochs that cost as much as the
full one's. With 256 draws, a step has about a thousand items, as small a part of the catalogue as Instruments' batches
allow.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.memory import MIB, in_own_process, peak_bytes
from benchmarks.report import Row, run_benchmark
from benchmarks.repository import SHARED
from benchmarks.speed.corpora import zipf_sequences
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from training.config.load_preset import load_preset
from training.config.preset import RECURRENT, DenseSettings
from training.datasets.open_dataset import open_dataset
from training.evaluation.split import EvaluationSplit
from training.items.describe_items import describe_items
from training.ranking import drawn_items
from training.ranking.drawn_items import item_draw
from training.ranking.fit_dense_head import DenseModel, fit_dense_head
from training.workbench.adamw_by_rows import AdamWByRows
from training.workbench.next_item_windows import NextItemBatch, WindowEpochs
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

CPU = torch.device("cpu")
INSTRUMENTS = SHARED / "data" / "amazon2018_instruments_mql"
SETTINGS = replace(load_preset("clairo").dense, encoder=RECURRENT)
CONTENT_DIM = 64
AS_VECTORS = (
    "dataset.codes=vectors",
    "encode.modalities=text_codes,image_codes",
    "dense.encoder=recurrent",
    "dense.own_dropout=0.1",
    "dense.held_out_share=0",
)


def rows(*, quick: bool) -> tuple[str, list[Row]]:
    """Steps, memory and, if there are the data, accuracy."""
    torch.set_num_threads(1)
    sizes = {3_000: True, 30_000: True} if quick else {10_000: True, 100_000: True, 1_000_000: False}
    table = []
    for num_items, is_full in sizes.items():
        table += step_rows(num_items, 4 if quick else 12, is_full=is_full)
    largest = max(sizes)
    peak = in_own_process(partial(peak_of_an_epoch, largest))
    table.append(Row(f"{largest:,} items: peak memory of an epoch", peak / MIB, "MiB", "lower"))
    if not INSTRUMENTS.is_dir():
        return f"made histories; {INSTRUMENTS} is missing, so accuracy is not measured", table
    return f"made histories; {INSTRUMENTS.name}", table + accuracy_rows(2 if quick else 16)


def made_histories(num_items: int) -> ItemSequences:
    """Histories of 2 to 19 items, up to 14 interactions per item."""
    lengths = np.random.default_rng(1).integers(2, 20, size=min(num_items * 14 // 10, 600_000))
    return zipf_sequences(lengths, num_items)


def made_content(num_items: int) -> np.ndarray:
    """Item embeddings."""
    return np.random.default_rng(2).standard_normal((num_items, CONTENT_DIM), dtype=np.float32)


def step_rows(num_items: int, num_steps: int, *, is_full: bool) -> list[Row]:
    """Median milliseconds of a step by each loss, and their ratio."""
    sequences = made_histories(num_items)
    windows = WindowEpochs(
        sequences,
        max_inputs=SETTINGS.max_history_items,
        max_user_examples=SETTINGS.max_user_examples,
        examples_per_epoch=30_000,
    )
    batches, _ = windows.batches(0, SETTINGS.positions_per_batch)
    milliseconds = {}
    for name in ("full", "sampled")[0 if is_full else 1 :]:
        step = dense_step(sequences, num_items, SETTINGS, CPU, is_sampled=name == "sampled")
        seconds = []
        for batch in batches[: num_steps + 1]:
            started = time.process_time()
            step(batch)
            seconds.append(time.process_time() - started)
        milliseconds[name] = 1000 * float(np.median(seconds[1:]))
    label = f"{num_items:,} items"
    table = [Row(f"{label}: a step, {name} softmax", cost, "ms", "lower") for name, cost in milliseconds.items()]
    if is_full:
        ratio = milliseconds["full"] / milliseconds["sampled"]
        table.append(Row(f"{label}: full over sampled", ratio, "x", "higher"))
    return table


def dense_step(
    sequences: ItemSequences, num_items: int, settings: DenseSettings, device: torch.device, *, is_sampled: bool
) -> Callable[[NextItemBatch], Tensor]:
    """A call that trains one batch, as in `fit_dense_head`, and returns its loss."""
    is_trained = np.bincount(sequences.items, minlength=num_items) > 0
    torch.manual_seed(0)
    model = DenseModel(made_content(num_items), is_trained, np.zeros(num_items, np.bool_), settings).train().to(device)
    optimizer = AdamWByRows(model.parameters(), lr=settings.learning_rate, weight_decay=0.0, betas=(0.9, 0.98))
    draw = item_draw(sequences, device) if is_sampled else None

    def step(batch: NextItemBatch) -> Tensor:
        loss = model.loss(batch.to(device), settings.own_dropout, draw)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    return step


def peak_of_an_epoch(num_items: int) -> int:
    """Peak memory in bytes of this process, which trains, validates and saves one short epoch."""
    torch.set_num_threads(1)
    sequences = made_histories(num_items)
    users = np.arange(200)
    last = sequences.items[sequences.offsets[users + 1] - 1]
    with tempfile.TemporaryDirectory() as folder:
        fit_dense_head(
            Path(folder),
            sequences,
            made_content(num_items),
            np.zeros(num_items, np.bool_),
            EvaluationSplit(sequences.select(users), last, users.astype(np.int32)),
            replace(SETTINGS, max_epochs=1, examples_per_epoch=50_000),
            device=CPU,
            seed=0,
            progress=silent,
            report=lambda _line: None,
        )
    return peak_bytes()


def accuracy_rows(num_epochs: int) -> list[Row]:
    """NDCG@10 of the best epoch and processor seconds of both losses."""
    preset = load_preset("clairo", AS_VECTORS)
    dataset = open_dataset(INSTRUMENTS, preset.dataset, preset.encode.modalities, silent)
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(dataset, preset, 0, CPU, StageCache(Path(folder)), silent, lambda _line: None)
        content = describe_items(bench).as_posted()
        full = replace(preset.dense, max_softmax_items=len(dataset.items))
        sides = {"full softmax": (full, drawn_items.NUM_DRAWN)}
        sampled = replace(full, max_softmax_items=0)
        sides |= {f"sampled softmax, {count:,} draws": (sampled, count) for count in (drawn_items.NUM_DRAWN, 256)}
        table: list[Row] = []
        seconds_of_full = 0.0
        for name, (settings, num_drawn) in sides.items():
            epochs = num_epochs
            if seconds_of_full:
                one_epoch = fitted(bench, content, replace(settings, max_epochs=1), num_drawn)[1]
                epochs = max(1, round(seconds_of_full / one_epoch))
            ndcg, seconds = fitted(bench, content, replace(settings, max_epochs=epochs, patience=epochs), num_drawn)
            seconds_of_full = seconds_of_full or seconds
            table.append(Row(f"Instruments, {name}: NDCG@10", ndcg, "", "higher"))
            table.append(Row(f"Instruments, {name}: {epochs} epochs", seconds, "s", "lower"))
    return table


def fitted(bench: Workbench, content: np.ndarray, settings: DenseSettings, num_drawn: int) -> tuple[float, float]:
    """Best validation NDCG@10 of a training, and its processor seconds."""
    of_training, drawn_items.NUM_DRAWN = drawn_items.NUM_DRAWN, num_drawn
    started = time.process_time()
    try:
        with tempfile.TemporaryDirectory() as folder:
            done = fit_dense_head(
                Path(folder),
                bench.training,
                content,
                bench.is_held_out,
                bench.users_per_epoch(settings.validation_users),
                settings,
                device=CPU,
                seed=0,
                progress=silent,
                report=lambda _line: None,
            )
    finally:
        drawn_items.NUM_DRAWN = of_training
    return done.best_ndcg, time.process_time() - started


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
