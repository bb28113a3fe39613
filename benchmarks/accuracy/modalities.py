"""Words, pictures, both, by image encoder and by fusion scheme: the same recipe and budget, paired by user.

    python -m benchmarks.accuracy.modalities [--json FILE] [--quick] [--sources demo,movielens,instruments] [--seed 0]

Encoders: the built-in ones, which need no weights; on Instruments the published codes of texts and pictures, as
vectors. For each modality a whole product is trained, for each scheme a generator alone, minutes each on two cores;
finished stages are kept in bundles/.stages and used again. Figures are of the test split, seen items masked. MovieLens
and Instruments are measured where `shared` (or CLAIRO_SHARED) has them.

With --quick, nothing is trained: how often is the next item among the 50 nearest to a history's newest?
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from benchmarks.report import Row, run_benchmark
from benchmarks.repository import REPOSITORY, SHARED
from clairo_core.bundle.bundle import load_bundle
from clairo_core.encoders import ModalityEmbeddings
from clairo_core.generation.t5.generator import choose_device
from training.config.load_preset import load_preset
from training.counts.popularity import Popularity, count_popularity
from training.datasets.open_dataset import open_dataset
from training.demo_shop import write_demo_shop
from training.evaluation.metrics import ndcg_at, paired_difference, recall_at
from training.evaluation.rankings import generated_ranks, rank_with_scores
from training.evaluation.split import some_users, test_split, training_items, training_sequences, validation_split
from training.items.encode_stage import encode_stage
from training.items.fuse_content import fuse_content
from training.items.fusion_weights import nearest_neighbour_recall
from training.pipeline.run import train_bundle
from training.ranking.dense_head_scorer import DenseHeadScorer
from training.workbench.progress_bar import progress_bar
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

NUM_RESAMPLES = 1000
CUTOFF = 10
OWN_TABLE = "evaluate.max_users=50"
"""Every bundle makes a table of its own; here it is not read."""


@dataclass(frozen=True)
class Source:
    """A dataset, and how much is spent on a bundle of it."""

    folder: Path
    budget: tuple[str, ...]
    modalities: tuple[str, str] = ("text", "image")
    settings: tuple[str, ...] = ()
    max_users: int = 0
    """Of the test split, a seeded sample; 0 takes all."""


SMALL_BUDGET = ("fit.max_epochs=4", "fit.examples_per_epoch=25000", "dense.max_epochs=6", "mix.max_users=1000")
SOURCES = {
    # The same as `make demo`.
    "demo": Source(REPOSITORY / "demo" / "shop", ("fit.max_epochs=6", "mix.max_users=1000"), max_users=1000),
    "movielens": Source(SHARED / "data" / "movielens_small_posters", SMALL_BUDGET),
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
"""All of text and image."""


@dataclass(frozen=True)
class Measured:
    """Each ranker's ranks of the users' next items, from 1; 0 is a miss."""

    ranks: Mapping[str, Int64[np.ndarray, "user"]]

    def recall(self, ranker: str) -> float:
        """Recall@10."""
        return float(recall_at(self.ranks[ranker], CUTOFF).mean())

    def ndcg(self, ranker: str) -> Float64[np.ndarray, "user"]:
        """NDCG@10 of each user."""
        return ndcg_at(self.ranks[ranker], CUTOFF)


def table_of_sources(names: tuple[str, ...], seed: int, quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    table, said = [], []
    for name in names:
        source = SOURCES[name]
        if name == "demo" and not (source.folder / "dataset.toml").is_file():
            write_demo_shop(source.folder, progress=progress_bar)
        if not source.folder.is_dir():
            said.append(f"{name} (not there)")
            continue
        said.append(name)
        if quick:
            table += by_scheme_without_training(name, source, seed)
        else:
            table += by_modality(name, source, seed) + by_scheme(name, source, seed)
    return f"{', '.join(said)}; test split, seen items masked, built-in encoders or published codes, seed {seed}", table


def by_modality(name: str, source: Source, seed: int) -> list[Row]:
    """Words, pictures and both, by each image encoder; what both give beyond the better one, paired by user."""
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
    table = [Row(f"{name}: popularity, Recall@10", both.recall("popularity"), "", "higher")]
    for ranker in (ranker for ranker in both.ranks if ranker != "popularity"):
        for label, of_label in measured.items():
            table += [
                Row(f"{name}: {ranker}, {label}, Recall@10", of_label.recall(ranker), "", "higher"),
                Row(f"{name}: {ranker}, {label}, NDCG@10", float(of_label.ndcg(ranker).mean()), "", "higher"),
            ]
        better = max(alone, key=lambda one: float(one.ndcg(ranker).mean()))
        gain = paired_difference(both.ndcg(ranker), better.ndcg(ranker), NUM_RESAMPLES)
        what = f"{name}: {ranker}, both over the better one, NDCG@10"
        table += [
            Row(what, gain.value, "", "higher"),
            Row(f"{what}, low end of the interval", gain.low, "", "higher", aim=0.0),
            Row(f"{what}, high end", gain.high, "", "higher"),
        ]
    return table


def by_scheme(name: str, source: Source, seed: int) -> list[Row]:
    """A generator for each scheme."""
    table = []
    for scheme, settings in SCHEMES.items():
        label = f"{name}-{folder_name(scheme)}"
        chosen = (*SCHEME_BUDGET, f"encode.modalities={','.join(source.modalities)}", *settings)
        measured = measure(label, source, chosen, seed)
        table += [
            Row(f"{name}: generator alone, {scheme}, Recall@10", measured.recall("generator"), "", "higher"),
            Row(f"{name}: generator alone, {scheme}, NDCG@10", float(measured.ndcg("generator").mean()), "", "higher"),
        ]
    return table


def by_scheme_without_training(name: str, source: Source, seed: int) -> list[Row]:
    """How well content alone guesses the next item, by scheme; late fusion differs only in its codes."""
    table = []
    for scheme, settings in SCHEMES.items():
        if scheme == "late":
            continue
        bench = workbench(scheme, source, (f"encode.modalities={','.join(source.modalities)}", *settings), seed)
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
    """Train a bundle, and rank the test targets by all of it and by its parts."""
    bench = workbench(label, source, (*settings, OWN_TABLE), seed)
    out = REPOSITORY / "bundles" / "modalities" / label
    train_bundle(bench, out)
    recommender = load_bundle(out).recommender(
        num_views=bench.preset.evaluate.num_views, num_beams=bench.preset.evaluate.num_beams
    )
    split = some_users(test_split(bench.dataset), source.max_users, seed)
    item_ids = [item.item_id for item in bench.dataset.items]

    def ranks_of(scorer: DenseHeadScorer | Popularity) -> Int64[np.ndarray, "user"]:
        return rank_with_scores(scorer, split, label, progress_bar)["masked"].ranks

    popularity = count_popularity(training_sequences(bench.dataset), len(item_ids))
    ranks = {"popularity": ranks_of(Popularity(popularity))}
    rankers = {"generator": recommender.ranked_by(None)}
    if recommender.joint_ranking is not None:
        ranks["dense head"] = ranks_of(DenseHeadScorer(recommender.joint_ranking.dense_head, len(item_ids)))
        rankers["whole"] = recommender
    for ranker, by_ranker in rankers.items():
        ranks[ranker], _ = generated_ranks(by_ranker, item_ids, split, False, f"{label}, {ranker}", progress_bar)
    return Measured(ranks)


def folder_name(label: str) -> str:
    """A label as part of a folder's name.

    >>> folder_name("final PCA to 64, whitened")
    'final-PCA-to-64-whitened'
    """
    return label.replace(",", "").replace(" ", "-")


def workbench(label: str, source: Source, settings: tuple[str, ...], seed: int) -> Workbench:
    """What stages work with; news are headed by `label`."""
    preset = load_preset("clairo", [*source.settings, *settings])

    def report(message: str) -> None:
        print(f"[{label}] {message}", file=sys.stderr)

    dataset = open_dataset(source.folder, preset.dataset, preset.encode.modalities, progress_bar)
    stages = StageCache(REPOSITORY / "bundles" / ".stages", report)
    return Workbench(dataset, preset, seed, choose_device("auto"), stages, progress_bar, report)


def main() -> int:
    """Take our own flags off the command line; the rest is every benchmark's."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--sources", type=lambda text: tuple(text.split(",")), default=tuple(SOURCES))
    parser.add_argument("--seed", type=int, default=0)
    own, rest = parser.parse_known_args()
    unknown = set(own.sources) - set(SOURCES)
    if unknown:
        parser.error(f"--sources names {', '.join(sorted(unknown))}; choose of {', '.join(SOURCES)}")

    def rows(quick: bool) -> tuple[str, list[Row]]:
        return table_of_sources(own.sources, own.seed, quick)

    return run_benchmark(rows, rest)


if __name__ == "__main__":
    sys.exit(main())
