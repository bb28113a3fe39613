"""Fit baselines, open bundles, rank everybody with each, and write the table in every form. Start at `compare_on`.

Knows names of baselines, stages and files; each ranker, figure and chart is made elsewhere. A ranker's rankings are
kept by the digest of what they follow from, so a second call, or one with a ranker more, runs only what is new.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from clairo_core.errors import SettingsError, TrainingError
from clairo_core.progress import Progress
from training.baselines import ease, markov
from training.baselines.choose_settings import Choice
from training.baselines.mixture import fit_scorer_mixture
from training.baselines.popularity import Popularity, count_popularity
from training.baselines.recommender_scorer import RecommenderScorer
from training.baselines.scorer import ItemScorer
from training.comparison import Comparison, compare_rankings
from training.comparison_files import write_comparison
from training.comparison_table import table_of_comparison
from training.datasets import Dataset, load_dataset
from training.datasets.split import EvaluationSplit, test_split, training_sequences, validation_split
from training.evaluate import some_users
from training.evaluate_bundle import open_bundle
from training.rankings import Rankings, load_rankings, rank_with_recommender, rank_with_scores, save_rankings
from training.slices import user_slices
from training.stages import StageCache

BASELINES: dict[str, tuple[markov.MarkovSettings | ease.EaseSettings, ...]] = {
    "popularity": (),
    "markov": markov.GRID,
    "ease": ease.GRID,
}
"""By name, with the settings that validation chooses from."""
PARTS = ("markov", "ease")
"""What a mixture is made of, beside a bundle."""


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """What is to stand in the table, and on which users."""

    baselines: tuple[str, ...]
    bundles: tuple[Path, ...]
    split: str
    max_users: int
    """A seeded sample of so many; 0 takes all."""
    num_resamples: int
    device: str
    mixes: bool = False
    """Markov and EASE added up too, alone and with each bundle."""


def baseline_names(text: str) -> tuple[str, ...]:
    """Names separated by commas, in the table's order; `all` and `none` are words too.

    Raises:
        SettingsError: there is no such baseline.
    """
    if text in ("all", "none"):
        return tuple(BASELINES) if text == "all" else ()
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if name not in BASELINES:
            raise SettingsError(f"--baselines names {name!r}; expected all, none, or some of {', '.join(BASELINES)}")
    return tuple(name for name in BASELINES if name in wanted)


def compare_on(data: Path, plan: ComparisonPlan, out: Path, progress: Progress, report: Callable[[str], None]) -> str:
    """Write `report.html`, `results.json` and the Parquet tables to `out`; the table as text.

    Raises:
        SettingsError: there is nothing to compare, or two bundles have one name.
        DatasetError: the dataset cannot be read.
        BundleError: a bundle cannot be loaded.
        TrainingError: nobody's next item was held out, or a bundle takes other items of the dataset.
    """
    bundles = bundles_by_name(plan)
    dataset = load_dataset(data, progress=progress)
    held_out = test_split(dataset) if plan.split == "test" else validation_split(dataset)
    if len(held_out.targets) == 0:
        raise TrainingError(f"{dataset.name}: no user has three items, so none could be held out; add interactions")
    split = some_users(held_out, plan.max_users, seed=0)
    users: dict[str, object] = {
        "dataset": dataset.fingerprint,
        "split": plan.split,
        "max_users": plan.max_users,
    }
    stages = StageCache(out / ".stages", report)
    folders: dict[str, Path] = {}
    for name in plan.baselines:
        grid = [asdict(settings) for settings in BASELINES[name]]
        build = partial(rank_baseline, name, dataset, split, progress)
        folders[name] = stages.run(f"baseline-{name}", {**users, "grid": grid}, build)
    for name, bundle in bundles.items():
        build = partial(rank_bundle, bundle, data, dataset, split, plan.device, progress, report)
        folders[name] = stages.run(f"bundle-{name}", {**users, "manifest": manifest_digest(bundle)}, build)
    if plan.mixes:
        parts = {part: folders[part] / "settings.json" for part in PARTS}
        settings = {part: file.read_text(encoding="utf-8") for part, file in parts.items()}
        for bundle_name, mixed in {"": None, **bundles}.items():
            inputs = {**users, "parts": settings, "manifest": "" if mixed is None else manifest_digest(mixed)}
            build = partial(rank_mixture, mixed, data, dataset, split, parts, plan.device, progress, report)
            name = " + ".join(filter(None, (bundle_name, *PARTS)))
            folders[name] = stages.run(f"mixture-{bundle_name or 'alone'}", inputs, build)
    rankings = {name: load_rankings(folder / "rankings.npz") for name, folder in folders.items()}
    training_counts = count_popularity(training_sequences(dataset), len(dataset.items))
    measured = compare_rankings(
        rankings, user_slices(split, training_counts), training_counts, plan.num_resamples, progress
    )
    comparison = Comparison(
        dataset=dataset.name,
        split=plan.split,
        num_users=len(split.targets),
        num_users_in_split=len(held_out.targets),
        num_items=len(dataset.items),
        num_resamples=plan.num_resamples,
        notes={name: (folder / "note.txt").read_text(encoding="utf-8") for name, folder in folders.items()},
        figures=measured.figures,
        differences=measured.differences,
        breadths=measured.breadths,
    )
    write_comparison(out, comparison, rankings, dataset, split, training_counts)
    return table_of_comparison(comparison)


def bundles_by_name(plan: ComparisonPlan) -> dict[str, Path]:
    """The bundles by the names of their folders.

    Raises:
        SettingsError: there is nothing to compare, no bundle in a folder, or one name for two rankers.
    """
    if plan.mixes and not set(PARTS) <= set(plan.baselines):
        raise SettingsError(f"--mix adds up {' and '.join(PARTS)}, and prints them too; name both in --baselines")
    if not plan.baselines and not plan.bundles:
        raise SettingsError("there is nothing to compare; name --baselines, or a --bundle, or both")
    bundles: dict[str, Path] = {}
    for folder in plan.bundles:
        name = folder.resolve().name
        if name in bundles or name in BASELINES:
            raise SettingsError(f"--bundle {folder}: another ranker is called {name!r}; rename the bundle's folder")
        if not (folder / "manifest.json").is_file():
            raise SettingsError(f"--bundle {folder} holds no manifest.json; name the folder of a bundle")
        bundles[name] = folder
    return bundles


def manifest_digest(bundle: Path) -> str:
    """SHA-256 of the manifest, which holds the digests of all else."""
    return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def rank_baseline(name: str, dataset: Dataset, split: EvaluationSplit, progress: Progress, folder: Path) -> None:
    """Fit the baseline on training sequences, choose its settings on validation, rank, and keep what came out."""
    training, num_items = training_sequences(dataset), len(dataset.items)
    scorer: ItemScorer
    settings: dict[str, float] = {}
    note = "training counts"
    if name == "popularity":
        scorer = Popularity(count_popularity(training, num_items))
    elif name == "markov":
        chosen = markov.choose_markov(training, num_items, validation_split(dataset), progress)
        scorer, settings, note = chosen.scorer, asdict(chosen.settings), described(chosen)
    else:
        choice = ease.choose_ease(training, num_items, validation_split(dataset), progress)
        scorer, settings, note = choice.scorer, asdict(choice.settings), described(choice)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    keep(folder, rank_with_scores(scorer, split, f"{name}: ranking", progress), note)


def rank_bundle(
    bundle: Path,
    data: Path,
    dataset: Dataset,
    split: EvaluationSplit,
    device: str,
    progress: Progress,
    report: Callable[[str], None],
    folder: Path,
) -> None:
    """Let the bundle recommend to everybody, and keep what came out.

    Raises:
        TrainingError: as the bundle takes the dataset, it has other items or users.
    """
    opened = open_bundle(bundle, data, device, progress, report)
    item_ids = [item.item_id for item in dataset.items]
    if [item.item_id for item in opened.dataset.items] != item_ids:
        raise TrainingError(
            f"{bundle} leaves out items of {dataset.name} that cannot be used as it is set; "
            "one table ranks one catalogue, so compare it alone with clairo-train evaluate"
        )
    missing = sum(item_ids[target] not in opened.recommender.catalogue for target in split.targets)
    note = "bundle" + (f"; {missing} targets are not in its catalogue and count as misses" if missing else "")
    keep(folder, rank_with_recommender(opened.recommender, item_ids, split, bundle.name, progress), note)


def rank_mixture(
    bundle: Path | None,
    data: Path,
    dataset: Dataset,
    split: EvaluationSplit,
    parts: Mapping[str, Path],
    device: str,
    progress: Progress,
    report: Callable[[str], None],
    folder: Path,
) -> None:
    """Fit the parts again as they were chosen, weigh them and the bundle on validation, rank, keep what came out."""
    training, num_items = training_sequences(dataset), len(dataset.items)
    settings = {part: json.loads(file.read_text(encoding="utf-8")) for part, file in parts.items()}
    components: list[ItemScorer] = [
        markov.fit_markov(training, num_items, markov.MarkovSettings(**settings["markov"])),
        ease.fit_ease(training, num_items, ease.EaseSettings(**settings["ease"])),
    ]
    if bundle is not None:
        opened = open_bundle(bundle, data, device, progress, report)
        components.append(RecommenderScorer(opened.recommender, tuple(item.item_id for item in dataset.items)))
    mixture = fit_scorer_mixture(
        components, count_popularity(training, num_items), validation_split(dataset), progress=progress
    )
    note = "added in item space; weights by training count and history length, fitted on validation"
    keep(folder, rank_with_scores(mixture, split, "mixture: ranking", progress), note)


def described(choice: Choice) -> str:
    """The settings in words: `regularization 100, decay 0.9; chosen from 20 on validation`."""
    values = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in asdict(choice.settings).items())
    return f"{values}; chosen from {len(choice.tried)} on validation"


def keep(folder: Path, rankings: Rankings, note: str) -> None:
    """Write a ranker's rankings, and what is to be said of it."""
    save_rankings(folder / "rankings.npz", rankings)
    (folder / "note.txt").write_text(note, encoding="utf-8")
