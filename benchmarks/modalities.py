"""Words alone, pictures alone, both: the same recipe and budget on the demo shop, beside popularity.

    python -m benchmarks.modalities [--json FILE] [--quick]

Encoders: the built-in ones, which need no weights. Three bundles are trained, two minutes each on two
cores; finished stages are kept in bundles/.stages and used again.
"""

import sys
from pathlib import Path

from benchmarks.report import Row, run_benchmark
from clairo_core.generator import choose_device
from training.config import load_preset
from training.datasets.demo_shop import write_demo_shop
from training.evaluate import Evaluation
from training.metrics import value_of
from training.open_dataset import open_dataset
from training.progress_bar import progress_bar
from training.run import train_bundle
from training.stages import StageCache
from training.workbench import Workbench

REPOSITORY = Path(__file__).resolve().parents[1]
DEMO_SETTINGS = ("fit.max_epochs=8", "evaluate.max_users=1000")
"""The same as `make demo`."""


def rows(quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    shop = REPOSITORY / "demo" / "shop"
    if not (shop / "dataset.toml").is_file():
        write_demo_shop(shop, progress=progress_bar)
    budget = ("fit.max_epochs=2",) if quick else ()
    results = {
        modalities: trained(shop, modalities, (*DEMO_SETTINGS, *budget))
        for modalities in ("text,image", "text", "image")
    }
    table = []
    for mode in ("allowed", "masked"):
        popularity = recall(results["text,image"], "popularity", mode)
        table.append(Row(f"seen {mode}: popularity, Recall@10", popularity, "", "higher"))
        figures = {modalities: recall(result, "clairo", mode) for modalities, result in results.items()}
        for modalities, figure in figures.items():
            table.append(Row(f"seen {mode}: {modalities.replace(',', ' and ')}, Recall@10", figure, "", "higher"))
        # A quick run trains too little to be held to anything.
        must = (None, None) if quick else (5.0, 1.0)
        both = figures["text,image"]
        table += [
            Row(f"seen {mode}: both against popularity", both / popularity, "x", "higher", must[0]),
            Row(
                f"seen {mode}: both against the better one",
                both / max(figures["text"], figures["image"]),
                "x",
                "higher",
                must[1],
            ),
        ]
    return "demo shop, test split, 1,000 of 3,000 users (seeded sample), encoders builtin-text and builtin-image", table


def trained(shop: Path, modalities: str, settings: tuple[str, ...]) -> Evaluation:
    """The test table of a bundle trained on these modalities."""
    preset = load_preset("clairo", [*settings, f"encode.modalities={modalities}"])

    def report(message: str) -> None:
        print(f"[{modalities}] {message}", file=sys.stderr)

    dataset = open_dataset(shop, (), preset.encode.modalities, progress_bar)
    stages = StageCache(REPOSITORY / "bundles" / ".stages", report)
    bench = Workbench(dataset, preset, 0, choose_device("auto"), stages, progress_bar, report)
    return train_bundle(bench, REPOSITORY / "bundles" / f"demo-{modalities.replace(',', '-')}")


def recall(result: Evaluation, ranker: str, mode: str) -> float:
    """Recall@10 of a row."""
    return value_of(result.row(ranker, mode).metrics, "recall@10")


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
