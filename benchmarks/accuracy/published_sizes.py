"""Train the presets of the field at their papers' sizes. Made for a GPU: on two cores one run takes days.

    python -m benchmarks.accuracy.published_sizes [--data NAME ...] [--presets NAME ...] [--seeds N] [--device DEVICE]
        [--out DIR] [--json FILE] [--quick]

Each run leaves a small file, DATA-PRESET-seedN.json, in DIR (default: bundles/published). A run with a file is not
repeated, and an interrupted one resumes at its last epoch. Sizes are the papers'; where a paper prints none, TIGER's.
Test split, whole catalogue, built-in encoders or the data's own codes. `--quick` trains two presets on the demo shop
for an epoch, at the presets' own sizes.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.accuracy.datasets import data_folder
from benchmarks.accuracy.training_runs import BUNDLES, QUICK, workbench
from benchmarks.report import Row, run_benchmark
from clairo_core.storage.replaced_file import replace_text
from training.config.load_preset import load_preset
from training.datasets.open_dataset import open_dataset
from training.pipeline.evaluation_stage import evaluation_stage
from training.pipeline.run import train_parts
from training.workbench.progress_bar import progress_bar

DATA: Mapping[str, Sequence[str]] = {
    "amazon2018_instruments_mql": ("dataset.codes=vectors",),
    "movielens_small_posters": (),
    "amazon2014_beauty": (),
}
"""With the settings that the data needs."""
T5 = (
    *("generator.d_model=128", "generator.d_kv=64", "generator.d_ff=1024", "generator.num_layers=4"),
    *("generator.num_heads=6", "fit.batch_size=256", "fit.learning_rate=0.001", "fit.max_epochs=200"),
    *("fit.patience=20", "fit.examples_per_epoch=0", "fit.validation_users=2000"),
)
AUTOENCODER = ("autoencoder.width=512", "autoencoder.batch_size=1024", "autoencoder.num_steps=20000")
SIZES: Mapping[str, Sequence[str]] = {
    "actionpiece": (),
    "clairo_paper": (),
    "clairo_vqvae": (*T5, *AUTOENCODER),
    "tiger": (*T5, *AUTOENCODER),
    "tiger_kmeans": T5,
    "liger": (*T5, *AUTOENCODER),
    "letter": (*T5, *AUTOENCODER),
    "rpg": ("parallel.width=448", "parallel.max_epochs=150", "parallel.patience=20"),
    "mql4grec": (*T5, *AUTOENCODER),
    "mgr_ef": (*T5, *AUTOENCODER),
    "mgr_lf": (*T5, *AUTOENCODER),
    "mgr_lf_plus": (*T5, *AUTOENCODER),
    "mmgrec": (*T5, *AUTOENCODER),
    "p5_ids": T5,
}
"""Settings by preset, over its own, which are for two cores except for the first two."""
QUICK_PRESETS = ("tiger", "rpg")
CUTOFF_METRICS = ("recall@10", "ndcg@10")


def rows(
    *, data: Sequence[str], presets: Sequence[str], seeds: int, device: str, out: Path, quick: bool
) -> tuple[str, list[Row]]:
    """Train and measure what has no file yet, then read all files."""
    if quick:
        data, presets, seeds, out = ("demo",), QUICK_PRESETS, 1, out / "quick"
    out.mkdir(parents=True, exist_ok=True)
    table = []
    for name in data:
        for preset in presets:
            for seed in range(seeds):
                file = out / f"{name}-{preset}-seed{seed}.json"
                if not file.is_file():
                    settings = (*QUICK, "autoencoder.num_steps=100") if quick else (*DATA[name], *SIZES[preset])
                    replace_text(file, json.dumps(measured(name, preset, settings, seed, device), indent=2))
                for figure, value in json.loads(file.read_text(encoding="utf-8"))["figures"].items():
                    table.append(Row(f"{name}, {preset}, seed {seed}: {figure}", value, "", "higher"))
    return f"{', '.join(data)}; test split; results in {out}", table


def measured(data: str, preset_name: str, settings: Sequence[str], seed: int, device: str) -> dict[str, object]:
    """Train one preset, and its figures with seen items allowed and masked."""
    preset = load_preset(preset_name, settings)
    if data == "amazon2018_instruments_mql":
        modalities = tuple(f"{modality}_codes" for modality in preset.encode.modalities)
        preset = load_preset(preset_name, (*settings, f"encode.modalities={','.join(modalities)}"))
    dataset = open_dataset(data_folder(data), preset.dataset, preset.encode.modalities, progress_bar)
    bench = workbench(f"{data}, {preset_name}, seed {seed}", dataset, preset, seed, device=device)
    evaluation = evaluation_stage(bench, train_parts(bench).recommender, "test")
    assert evaluation is not None, f"{data} has no test users"
    whole = evaluation.rows[0].ranker
    figures = {
        f"{metric.name}, seen {row.seen_items}": metric.value
        for row in evaluation.rows
        for metric in row.metrics
        if row.ranker == whole and row.seen_items in ("allowed", "masked") and metric.name in CUTOFF_METRICS
    }
    return {"data": data, "preset": preset_name, "settings": list(settings), "seed": seed, "figures": figures}


def flags() -> argparse.ArgumentParser:
    """What to train, and where."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA), help="folders of the shared data")
    parser.add_argument("--presets", nargs="+", choices=list(SIZES), default=list(SIZES), help="presets to train")
    parser.add_argument("--seeds", type=int, default=3, help="seeds for each")
    parser.add_argument("--device", default="cuda", help="cpu, cuda or cuda:N")
    parser.add_argument("--out", type=Path, default=BUNDLES / "published", help="folder of the result files")
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
