"""Compare words, pictures and both, by image encoder and fusion scheme: same recipe and budget, paired by user.

    python -m benchmarks.accuracy.modalities [--json FILE] [--quick] [--sources demo,movielens,instruments] [--seed 0]

Encoders: the built-in ones, without weights; on Instruments the published codes of texts and pictures, as vectors.
Each modality gets a whole bundle, each scheme a generator alone: minutes each on two cores. Finished stages stay in
bundles/.stages and are reused. Figures are of the test split, seen items masked. MovieLens and Instruments are
measured if `shared` (or CLAIRO_SHARED) has them.

--quick trains nothing: how often is the next item among the 50 nearest to the newest item of the history?
"""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from benchmarks.accuracy.datasets import MOVIELENS, demo_shop
from benchmarks.accuracy.paired_rows import paired_rows
from benchmarks.accuracy.training_runs import BUNDLES, GENERATOR, load_trained, ranks_by_part, workbench
from benchmarks.report import Row, run_benchmark
from benchmarks.repository import DEMO_SHOP, SHARED
from clairo_core.encoders import ModalityEmbeddings
from training.config.load_preset import load_preset
from training.counts.popularity import Popularity, count_popularity
from training.datasets.open_dataset import open_dataset
from training.evaluation.metrics import Ranks, ndcg_at, recall_at
from training.evaluation.rankings import rank_with_scores
from training.evaluation.split import (
    MASKED,
    some_users,
    test_split,
    training_items,
    training_sequences,
    validation_split,
)
from training.items.encode_stage import encode_stage
from training.items.fuse_content import fuse_content
from training.items.fusion_weights import nearest_neighbour_recall
from training.pipeline.run import train_bundle
from training.workbench.progress_bar import progress_bar
from training.workbench.workbench import Workbench

POPULARITY = "popularity"
CUTOFF = 10
OWN_TABLE = "evaluate.max_users=50"
"""Keeps small the table that every bundle brings and nobody reads here."""


@dataclass(frozen=True)
class Source:
    """A dataset, and the training budget of a bundle of it."""

    folder: Path
    budget: tuple[str, ...]
    modalities: tuple[str, str] = ("text", "image")
    settings: tuple[str, ...] = ()
    max_users: int = 0
    """Size of a seeded sample of the test split; 0 takes all."""


SMALL_BUDGET = ("fit.max_epochs=4", "fit.examples_per_epoch=25000", "dense.max_epochs=6", "mix.max_users=1000")
SOURCES = {
    # The same as `make demo`.
    "demo": Source(DEMO_SHOP, ("fit.max_epochs=6", "mix.max_users=1000"), max_users=1000),
    "movielens": Source(MOVIELENS, SMALL_BUDGET),
    "instruments": Source(
        SHARED / "data" / "amazon2018_instruments_mql",
        SMALL_BUDGET,
        ("text_codes", "image_codes"),
        ("dataset.codes=vectors",),
        max_users=4000,
    ),
}
SCHEME_BUDGET = ("dense.dim=0", "fit.max_epochs=2", "fit.examples_per_epoch=25000")
SCHEMES = {
    "concatenation": (),
    "final PCA to 64": ("fuse.final_dim=64",),
    "final PCA to 64, whitened": ("fuse.final_dim=64", "fuse.whiten=true"),
    "whitened": ("fuse.whiten=true",),
    "weights chosen on validation": ("fuse.weights=auto",),
    "gate": ("fuse.scheme=gate",),
    "attention": ("fuse.scheme=attention",),
    "late": ("fuse.scheme=late",),
    "modalities aligned": ("fuse.contrastive_dim=64",),
}
"""Settings of each fusion scheme, all of words and pictures."""


@dataclass(frozen=True)
class Measured:
    """Ranks of the users' next items by ranker, from 1; 0 is a miss."""

    ranks: Mapping[str, Ranks]

    def recall(self, ranker: str) -> float:
        """Recall@10."""
        return float(recall_at(self.ranks[ranker], CUTOFF).mean())

    def ndcg(self, ranker: str) -> Float64[np.ndarray, "user"]:
        """NDCG@10 of each user."""
        return ndcg_at(self.ranks[ranker], CUTOFF)


def rows(*, sources: tuple[str, ...], seed: int, quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and measure each source."""
    table, names = [], []
    for name in sources:
        source = SOURCES[name]
        if name == "demo":
            demo_shop()
        if not source.folder.is_dir():
            names.append(f"{name} (missing)")
            continue
        names.append(name)
        if quick:
            table += by_scheme_without_training(name, source, seed)
        else:
            table += by_modality(name, source, seed) + by_scheme(name, source, seed)
    return (
        f"{', '.join(names)}; test split, seen items masked, built-in encoders or published codes, seed {seed}",
        table,
    )


def by_modality(name: str, source: Source, seed: int) -> list[Row]:
    """Words, pictures and both, by each image encoder; the gain of both over the better one, paired by user."""
    words, pictures = source.modalities
    chosen: dict[str, tuple[str, ...]] = {
        "words and pictures": (f"encode.modalities={words},{pictures}",),
        "words": (f"encode.modalities={words}",),
        "pictures": (f"encode.modalities={pictures}",),
    }
    if pictures == "image":
        chosen |= {
            f"{label}, learned encoder": (*chosen[label], "encode.image_encoder=learned")
            for label in ("words and pictures", "pictures")
        }
    measured = {
        label: measure(f"{name}-{folder_name(label)}", source, (*source.budget, *settings), seed)
        for label, settings in chosen.items()
    }
    both, alone = measured["words and pictures"], (measured["words"], measured["pictures"])
    table = [Row(f"{name}: popularity, Recall@10", both.recall(POPULARITY), "", "higher")]
    for ranker in (ranker for ranker in both.ranks if ranker != POPULARITY):
        for label, of_label in measured.items():
            table += [
                Row(f"{name}: {ranker}, {label}, Recall@10", of_label.recall(ranker), "", "higher"),
                Row(f"{name}: {ranker}, {label}, NDCG@10", float(of_label.ndcg(ranker).mean()), "", "higher"),
            ]
        better = max(alone, key=lambda one: float(one.ndcg(ranker).mean()))
        gain = f"{name}: {ranker}, both over the better one, NDCG@10"
        table += paired_rows(gain, both.ndcg(ranker), better.ndcg(ranker), low_aim=0.0)
    return table


def by_scheme(name: str, source: Source, seed: int) -> list[Row]:
    """A generator for each scheme."""
    table = []
    for scheme, settings in SCHEMES.items():
        label = f"{name}-{folder_name(scheme)}"
        chosen = (*SCHEME_BUDGET, f"encode.modalities={','.join(source.modalities)}", *settings)
        measured = measure(label, source, chosen, seed)
        table += [
            Row(f"{name}: {GENERATOR}, {scheme}, Recall@10", measured.recall(GENERATOR), "", "higher"),
            Row(f"{name}: {GENERATOR}, {scheme}, NDCG@10", float(measured.ndcg(GENERATOR).mean()), "", "higher"),
        ]
    return table


def by_scheme_without_training(name: str, source: Source, seed: int) -> list[Row]:
    """Recall of the next item by content alone, by scheme; late fusion differs only in its codes, so it is left out."""
    table = []
    for scheme, settings in SCHEMES.items():
        if scheme == "late":
            continue
        bench = source_workbench(scheme, source, (f"encode.modalities={','.join(source.modalities)}", *settings), seed)
        embeddings: dict[str, ModalityEmbeddings] = {
            modality: encode_stage(bench, modality).embeddings() for modality in bench.preset.encode.modalities
        }
        fusion = fuse_content(
            embeddings,
            training_items(bench.dataset),
            training_sequences(bench.dataset),
            validation_split(bench.dataset),
            bench.preset.fuse,
            bench.seed,
            bench.report,
        )
        found = nearest_neighbour_recall(fusion.fuse(embeddings).item_embeddings, test_split(bench.dataset))
        table.append(Row(f"{name}, nearest neighbours: {scheme}, Recall@50", found, "", "higher"))
    return table


def measure(label: str, source: Source, settings: tuple[str, ...], seed: int) -> Measured:
    """Train a bundle, and rank the test targets by popularity, by the bundle and by each of its parts."""
    bench = source_workbench(label, source, (*settings, OWN_TABLE), seed)
    folder = BUNDLES / "modalities" / label
    train_bundle(bench, folder, is_refitted=False)
    _, recommender = load_trained(bench, folder)
    split = some_users(test_split(bench.dataset), source.max_users, seed)
    popularity = Popularity(count_popularity(training_sequences(bench.dataset), len(bench.dataset.items)))
    by_popularity = rank_with_scores(popularity, {MASKED: split}, label, progress_bar)[MASKED].ranks
    return Measured({POPULARITY: by_popularity, **ranks_by_part(recommender, bench.dataset, split, label)})


def folder_name(label: str) -> str:
    """A label as a folder name.

    >>> folder_name("final PCA to 64, whitened")
    'final-PCA-to-64-whitened'
    """
    return label.replace(",", "").replace(" ", "-")


def source_workbench(label: str, source: Source, settings: tuple[str, ...], seed: int) -> Workbench:
    """Open the source, and set up a training run that reports under `label`."""
    preset = load_preset("clairo_token", [*source.settings, *settings])
    dataset = open_dataset(source.folder, preset.dataset, preset.encode.modalities, progress_bar)
    return workbench(label, dataset, preset, seed, device="auto")


def source_names(text: str) -> tuple[str, ...]:
    """Names of sources, separated by commas."""
    names = tuple(text.split(","))
    if unknown := sorted(set(names) - set(SOURCES)):
        raise ArgumentTypeError(f"unknown source {', '.join(unknown)}; choose from {', '.join(SOURCES)}")
    return names


def flags() -> ArgumentParser:
    """The sources and the seed."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--sources", type=source_names, default=tuple(SOURCES), help="datasets, separated by commas")
    parser.add_argument("--seed", type=int, default=0, help="seed of training and sample")
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
