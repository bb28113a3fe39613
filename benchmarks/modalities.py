"""Words, pictures, both, and by fusion scheme: the same recipe and budget, beside popularity.

    python -m benchmarks.modalities [--json FILE] [--quick]

Encoders: the built-in ones, which need no weights. On the demo shop, and on MovieLens where `shared` (or
CLAIRO_SHARED) has it, a bundle is trained for each row, minutes each on two cores; finished stages are kept in
bundles/.stages and used again. With --quick, the demo shop's bundles train for two epochs, and schemes are told apart
by nearest neighbours alone: how often the next item is among the 50 nearest to a history's newest, nothing trained.
"""

import sys
from pathlib import Path

from benchmarks.corpora import SHARED
from benchmarks.report import Row, run_benchmark
from clairo_core.encoders import ModalityEmbeddings
from clairo_core.generation.generator import choose_device
from training.datasets.demo_shop import write_demo_shop
from training.datasets.split import test_split, training_items, training_sequences, validation_split
from training.evaluate import Evaluation
from training.items.describe_items import encode_stage
from training.items.encode_items import load_embeddings
from training.items.fuse_content import fuse_content
from training.items.fusion_weights import nearest_neighbour_recall
from training.load_preset import load_preset
from training.metrics import value_of
from training.open_dataset import open_dataset
from training.progress_bar import progress_bar
from training.run import train_bundle
from training.stages import StageCache
from training.workbench import Workbench

REPOSITORY = Path(__file__).resolve().parents[1]
MOVIELENS = SHARED / "data" / "movielens_small_posters"
DEMO_SETTINGS = ("fit.max_epochs=6", "mix.max_users=1000", "evaluate.max_users=500")
"""The same as `make demo`."""
MODALITIES = ("text,image", "text", "image")
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


def rows(quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    shop = REPOSITORY / "demo" / "shop"
    if not (shop / "dataset.toml").is_file():
        write_demo_shop(shop, progress=progress_bar)
    sources = {"demo": shop} | ({"movielens": MOVIELENS} if MOVIELENS.is_dir() else {})
    table = []
    for name, source in sources.items():
        if quick:
            table += [] if name != "demo" else by_modality(name, source, ("fit.max_epochs=2",), is_held=False)
            table += by_scheme_without_training(name, source)
        else:
            table += by_modality(name, source, (), is_held=name == "demo")
            table += by_scheme(name, source)
    said = "demo shop" + (" and MovieLens" if "movielens" in sources else " (MovieLens is not there)")
    return f"{said}, test split, 1,000 users (seeded sample), encoders builtin-text and builtin-image", table


def by_modality(name: str, source: Path, budget: tuple[str, ...], *, is_held: bool) -> list[Row]:
    """Words, pictures and both, beside popularity; `is_held` to the goals."""
    results = {
        modalities: trained(name, source, modalities, (*DEMO_SETTINGS, *budget, f"encode.modalities={modalities}"))
        for modalities in MODALITIES
    }
    table = []
    for mode in ("allowed", "masked"):
        popularity = recall(results["text,image"], "popularity", mode)
        where = f"{name}, seen {mode}"
        table.append(Row(f"{where}: popularity, Recall@10", popularity, "", "higher"))
        figures = {modalities: recall(result, "clairo", mode) for modalities, result in results.items()}
        for modalities, figure in figures.items():
            table.append(Row(f"{where}: {modalities.replace(',', ' and ')}, Recall@10", figure, "", "higher"))
        # A quick run trains too little to be held to anything.
        must = (5.0, 1.0) if is_held else (None, None)
        both, better = figures["text,image"], max(figures["text"], figures["image"])
        table += [
            Row(f"{where}: both against popularity", both / popularity, "x", "higher", must[0]),
            Row(f"{where}: both against the better one", both / better, "x", "higher", must[1]),
        ]
    return table


def by_scheme(name: str, source: Path) -> list[Row]:
    """A bundle for each scheme; Recall@10 with seen items masked."""
    return [
        Row(
            f"{name}, seen masked: {scheme}, Recall@10",
            recall(trained(name, source, scheme, (*DEMO_SETTINGS, *settings)), "clairo", "masked"),
            "",
            "higher",
        )
        for scheme, settings in SCHEMES.items()
    ]


def by_scheme_without_training(name: str, source: Path) -> list[Row]:
    """How well content alone guesses the next item, by scheme; late fusion differs only in its codes."""
    table = []
    for scheme, settings in SCHEMES.items():
        if scheme == "late":
            continue
        bench = workbench(scheme, source, settings)
        embeddings: dict[str, ModalityEmbeddings] = {
            modality: load_embeddings(encode_stage(bench, modality) / "embeddings.npz")
            for modality in bench.preset.encode.modalities
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


def trained(name: str, source: Path, label: str, settings: tuple[str, ...]) -> Evaluation:
    """The test table of a bundle trained with these settings."""
    bench = workbench(label, source, settings)
    folder = "-".join([name, *label.replace(",", " ").split()])
    return train_bundle(bench, REPOSITORY / "bundles" / folder)


def workbench(label: str, source: Path, settings: tuple[str, ...]) -> Workbench:
    """What stages work with; news are headed by `label`."""
    preset = load_preset("clairo", list(settings))

    def report(message: str) -> None:
        print(f"[{label}] {message}", file=sys.stderr)

    dataset = open_dataset(source, (), preset.encode.modalities, progress_bar)
    stages = StageCache(REPOSITORY / "bundles" / ".stages", report)
    return Workbench(dataset, preset, 0, choose_device("auto"), stages, progress_bar, report)


def recall(result: Evaluation, ranker: str, mode: str) -> float:
    """Recall@10 of a row."""
    return value_of(result.row(ranker, mode).metrics, "recall@10")


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
