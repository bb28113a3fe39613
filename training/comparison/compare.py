"""Fit baselines, train presets, open bundles, rank everybody with each, and write the table. Start at `compare_on`.

Knows names of rankers and what a plan may hold; each ranker, figure and chart is made elsewhere. Everything is kept by
the digest of what it follows from, so a second call, or one with a ranker or a seed more, runs only what is new, and a
kill loses at most the training in progress, which goes on behind its last epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from clairo_core.errors import SettingsError, TrainingError
from clairo_core.progress import Progress
from training.baselines.fit_sequence_model import FitBudget
from training.comparison.comparison import Comparison, compare_rankings
from training.comparison.files import write_comparison
from training.comparison.presets import train_preset
from training.comparison.rankers import (
    GRIDS,
    Contest,
    parts_of,
    rank_baseline,
    rank_bundle,
    rank_mixture,
    rank_part,
)
from training.comparison.run_details import load_details
from training.comparison.table import table_of_comparison
from training.config.preset import Preset
from training.counts.popularity import count_popularity
from training.datasets import load_dataset
from training.evaluation.rankings import load_rankings
from training.evaluation.slices import user_slices
from training.evaluation.split import some_users, test_split, training_sequences, validation_split
from training.workbench.stage_cache import StageCache

MIXED = ("markov", "ease")
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
    parts: bool = False
    """Each bundle's and preset's generator and dense head alone, too."""
    mixes: bool = False
    """Markov and EASE added up too, alone and with each bundle and preset."""
    presets: tuple[Preset, ...] = ()
    """Each trained once for each seed."""
    num_seeds: int = 1
    """Of presets and neural baselines: 0, 1, and so on."""
    budget: FitBudget = field(default_factory=FitBudget)
    """What each candidate of a neural baseline may cost."""


def baseline_names(text: str) -> tuple[str, ...]:
    """Names separated by commas, in the table's order; `all` and `none` are words too.

    Raises:
        SettingsError: there is no such baseline.
    """
    if text in ("all", "none"):
        return tuple(GRIDS) if text == "all" else ()
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if name not in GRIDS:
            raise SettingsError(f"--baselines names {name!r}; expected all, none, or some of {', '.join(GRIDS)}")
    return tuple(name for name in GRIDS if name in wanted)


def compare_on(data: Path, plan: ComparisonPlan, out: Path, progress: Progress, report: Callable[[str], None]) -> str:
    """Write `report.html`, `results.json` and the Parquet tables to `out`; the table as text.

    Raises:
        SettingsError: there is nothing to compare, or two rankers have one name.
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
    users = {"dataset": dataset.fingerprint, "split": plan.split, "max_users": plan.max_users}
    contest = Contest(data, dataset, split, users, StageCache(out / ".stages", report), plan.device, progress, report)
    runs = rank_all(contest, plan, bundles)
    rankings = {name: [load_rankings(run / "rankings.npz") for run in of_ranker] for name, of_ranker in runs.items()}
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
        notes={name: (folders[0] / "note.txt").read_text(encoding="utf-8") for name, folders in runs.items()},
        figures=measured.figures,
        differences=measured.differences,
        breadths=measured.breadths,
        details={
            name: tuple(load_details(run / "details.json") for run in of_ranker) for name, of_ranker in runs.items()
        },
    )
    write_comparison(out, comparison, rankings, dataset, split, training_counts)
    return table_of_comparison(comparison)


def rank_all(contest: Contest, plan: ComparisonPlan, bundles: dict[str, Path]) -> dict[str, list[Path]]:
    """Every ranker's finished stages, one for each seed, in the order of the table; presets are trained here."""
    runs = {name: rank_baseline(contest, name, plan.budget, plan.num_seeds) for name in plan.baselines}
    trained = {name: [bundle] for name, bundle in bundles.items()}
    for preset in plan.presets:
        trained[preset.name] = []
        for seed in range(plan.num_seeds):
            trained[preset.name].append(train_preset(contest, preset, seed))
    for name, of_ranker in trained.items():
        runs[name] = [rank_bundle(contest, name, bundle, seed) for seed, bundle in enumerate(of_ranker)]
        for part in parts_of(of_ranker[0]) if plan.parts else ():
            runs[f"{name}, {part}"] = [
                rank_part(contest, name, bundle, part, seed) for seed, bundle in enumerate(of_ranker)
            ]
    if plan.mixes:
        parts = {part: runs[part][0] / "settings.json" for part in MIXED}
        runs[" + ".join(MIXED)] = [rank_mixture(contest, "alone", None, parts)]
        for name, of_ranker in trained.items():
            runs[" + ".join((name, *MIXED))] = [
                rank_mixture(contest, name, bundle, parts, seed) for seed, bundle in enumerate(of_ranker)
            ]
    return runs


def bundles_by_name(plan: ComparisonPlan) -> dict[str, Path]:
    """The bundles by the names of their folders.

    Raises:
        SettingsError: there is nothing to compare, no bundle in a folder, or one name for two rankers.
    """
    if plan.mixes and not set(MIXED) <= set(plan.baselines):
        raise SettingsError(f"--mix adds up {' and '.join(MIXED)}, and prints them too; name both in --baselines")
    if not plan.baselines and not plan.bundles and not plan.presets:
        raise SettingsError("there is nothing to compare; name --baselines, --presets, or a --bundle")
    if plan.num_seeds < 1:
        raise SettingsError(f"--seeds is {plan.num_seeds}; expected at least 1")
    bundles: dict[str, Path] = {}
    taken = set(GRIDS)
    for preset in plan.presets:
        if preset.name in taken:
            raise SettingsError(f"--presets: another ranker is called {preset.name!r}; name each preset once")
        taken.add(preset.name)
    for folder in plan.bundles:
        name = folder.resolve().name
        if name in bundles or name in taken:
            raise SettingsError(f"--bundle {folder}: another ranker is called {name!r}; rename the bundle's folder")
        if not (folder / "manifest.json").is_file():
            raise SettingsError(f"--bundle {folder} holds no manifest.json; name the folder of a bundle")
        bundles[name] = folder
    return bundles
