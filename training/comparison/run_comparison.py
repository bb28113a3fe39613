"""Fit baselines, train presets, open bundles, rank all users with each, and write the table. Start at `compare_on`.

Every result is cached by the digest of its inputs: a second call, or one with another ranker or seed, runs only the
new parts. An interrupted training resumes after its last epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.errors import SettingsError, TrainingError
from clairo_core.generation.t5.generator import choose_device
from clairo_core.progress import Progress
from training.baselines.counting_baselines import check_catalogue
from training.baselines.fit_sequence_model import FitBudget
from training.comparison.figures import Comparison, compare_rankings
from training.comparison.rankers import (
    GRIDS,
    ComparisonSetup,
    parts_of,
    rank_baseline,
    rank_bundle,
    rank_mixture,
)
from training.comparison.result_files import write_comparison
from training.comparison.run_details import load_details
from training.comparison.text_table import table_of_comparison
from training.config.preset import Preset, SplitSettings
from training.counts.popularity import count_interactions
from training.datasets import load_dataset
from training.datasets.open_dataset import open_dataset
from training.evaluation.rankings import load_rankings
from training.evaluation.repeat_lift import lift_users
from training.evaluation.slices import user_slices
from training.evaluation.split import (
    ALLOWED,
    held_out,
    some_of_each,
    split_by,
    test_split,
    training_sequences,
    validation_split,
)
from training.evaluation.split_description import describe_split
from training.pipeline.present_modalities import with_present_modalities
from training.pipeline.run import train_bundle
from training.workbench.bundle_dataset import check_not_learned, check_same_split
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

MIXED = ("markov", "ease")
"""The baselines of a mixture, alone or with a bundle."""


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """The rankers of the table, and the users they are measured on."""

    baselines: tuple[str, ...]
    bundles: tuple[Path, ...]
    split: str
    max_users: int
    """Size of a seeded sample; 0 takes all users."""
    num_resamples: int
    device: str
    parts: bool = False
    """Add each bundle's and preset's generator and dense head alone, and the whole without each part."""
    mixes: bool = False
    """Add Markov and EASE mixed, alone and with each bundle and preset."""
    presets: tuple[Preset, ...] = ()
    """Each trained once per seed."""
    num_seeds: int = 1
    """Seeds of presets and neural baselines: 0, 1, and so on."""
    budget: FitBudget = field(default_factory=FitBudget)
    """Training budget per candidate of a neural baseline."""
    held_out_by: SplitSettings = field(default_factory=SplitSettings)
    """The split of all rankers: one table measures the same targets."""


def baseline_names(text: str) -> tuple[str, ...]:
    """Parse `all`, `none`, or names separated by commas, into the order of the table.

    Raises:
        SettingsError: a name is unknown or empty, or `all` or `none` stands among others.
    """
    if text in ("all", "none"):
        return tuple(GRIDS) if text == "all" else ()
    wanted = [name.strip() for name in text.split(",")]
    if {"all", "none"} & set(wanted):
        raise SettingsError(f"--baselines is {text!r}; expected all alone, none alone, or some of {', '.join(GRIDS)}")
    if "" in wanted:
        raise SettingsError(f"--baselines is {text!r}, which has an empty name; put one comma between two names")
    unknown = [repr(name) for name in wanted if name not in GRIDS]
    if unknown:
        raise SettingsError(
            f"--baselines names {', '.join(unknown)}; expected all, none, or some of {', '.join(GRIDS)}"
        )
    return tuple(name for name in GRIDS if name in wanted)


def compare_on(data: Path, plan: ComparisonPlan, out: Path, progress: Progress, report: Callable[[str], None]) -> str:
    """Write `report.html`, `results.json` and the Parquet tables to `out`. Returns the table as text.

    Raises:
        SettingsError: the plan is empty, or two rankers have one name.
        DatasetError: the dataset cannot be read.
        BundleError: a bundle cannot be loaded.
        TrainingError: no user has a held-out item, a bundle uses other items of the dataset, has learned from it or
            held out other interactions, or the catalogue is too large for a baseline.
    """
    bundles = bundles_by_name(plan)
    dataset = split_by(load_dataset(data, progress=progress), plan.held_out_by)
    check_catalogue(plan.baselines, len(dataset.items))
    for bundle in bundles.values():
        # Before the baselines, which may take hours.
        manifest = read_manifest(bundle)
        check_same_split(bundle, manifest, plan.held_out_by)
        check_not_learned(manifest, dataset)
    described = describe_split(dataset, plan.split)
    of_all = held_out(test_split if plan.split == "test" else validation_split, dataset)
    if len(of_all[ALLOWED].targets) == 0:
        raise TrainingError(f"{dataset.name}: {described.why_nobody}")
    targets = some_of_each(of_all, plan.max_users, seed=0)
    users = {"dataset": dataset.fingerprint, "split": plan.split, "max_users": plan.max_users}
    stages = StageCache(out / ".stages", report)
    setup = ComparisonSetup(data, dataset, targets, lift_users(dataset), users, stages, plan.device, progress, report)
    runs = rank_all(setup, plan, bundles)
    rankings = {name: [load_rankings(run / "rankings.npz") for run in of_ranker] for name, of_ranker in runs.items()}
    training_counts = count_interactions(training_sequences(dataset), len(dataset.items))
    slices = {mode: user_slices(split, training_counts) for mode, split in targets.items()}
    measured = compare_rankings(rankings, slices, training_counts, plan.num_resamples, progress)
    comparison = Comparison(
        dataset=dataset.name,
        split=plan.split,
        num_users=len(targets[ALLOWED].targets),
        num_users_in_split=len(of_all[ALLOWED].targets),
        num_items=len(dataset.items),
        num_resamples=plan.num_resamples,
        notes={name: (folders[0] / "note.txt").read_text(encoding="utf-8") for name, folders in runs.items()},
        figures=measured.figures,
        differences=measured.differences,
        breadths=measured.breadths,
        details={
            name: tuple(load_details(run / "details.json") for run in of_ranker) for name, of_ranker in runs.items()
        },
        held_out=described,
    )
    write_comparison(out, comparison, rankings, dataset, targets, training_counts)
    return table_of_comparison(comparison)


def rank_all(setup: ComparisonSetup, plan: ComparisonPlan, bundles: dict[str, Path]) -> dict[str, list[Path]]:
    """Run every ranker. Returns its finished stages, one per seed, in the order of the table."""
    runs = {name: rank_baseline(setup, name, plan.budget, plan.num_seeds) for name in plan.baselines}
    trained = {name: [bundle] for name, bundle in bundles.items()}
    for preset in plan.presets:
        trained[preset.name] = [train_preset(setup, preset, seed) for seed in range(plan.num_seeds)]
    for name, of_ranker in trained.items():
        for part in ("", *(parts_of(of_ranker[0]) if plan.parts else ())):
            runs[f"{name}, {part}" if part else name] = [
                rank_bundle(setup, name, bundle, seed, part) for seed, bundle in enumerate(of_ranker)
            ]
    if plan.mixes:
        settings = {baseline: runs[baseline][0] / "settings.json" for baseline in MIXED}
        runs[" + ".join(MIXED)] = [rank_mixture(setup, "alone", None, settings)]
        for name, of_ranker in trained.items():
            runs[" + ".join((name, *MIXED))] = [
                rank_mixture(setup, name, bundle, settings, seed) for seed, bundle in enumerate(of_ranker)
            ]
    return runs


def train_preset(setup: ComparisonSetup, preset: Preset, seed: int) -> Path:
    """Train a preset, unless its bundle exists. Returns the bundle's folder; presets share equal stages.

    Raises:
        ClairoError: a training stage failed.
    """
    dataset = open_dataset(setup.data, preset.dataset, preset.encode.modalities, setup.progress)
    dataset = split_by(dataset, preset.split)
    preset = with_present_modalities(preset, dataset, setup.report)
    device = choose_device(setup.device)

    def build(folder: Path) -> None:
        setup.report(f"training preset {preset.name}, seed {seed}")
        bench = Workbench(dataset, preset, seed, device, setup.stages, setup.progress, setup.report)
        train_bundle(bench, folder / "bundle", is_refitted=False)

    settings = {name: part for name, part in preset.as_dict().items() if name != "name"}
    inputs = {"dataset": dataset.fingerprint, "preset": settings, "seed": seed}
    stage = f"bundle-{preset.name}-seed{seed}"
    return setup.stages.run(stage, inputs, build, lambda folder: load_bundle(folder / "bundle")).folder / "bundle"


def bundles_by_name(plan: ComparisonPlan) -> dict[str, Path]:
    """Name each bundle after its folder.

    Raises:
        SettingsError: the plan is empty, a folder holds no bundle, two rankers have one name, or a preset has another
            split than the table.
    """
    if plan.mixes and not set(MIXED) <= set(plan.baselines):
        named = ", ".join(plan.baselines) or "none"
        raise SettingsError(f"--mix needs {' and '.join(MIXED)}, --baselines is {named}; name both")
    if not plan.baselines and not plan.bundles and not plan.presets:
        raise SettingsError("there is nothing to compare; name --baselines, --presets, or a --bundle")
    if plan.num_seeds < 1:
        raise SettingsError(f"--seeds is {plan.num_seeds}; expected at least 1")
    bundles: dict[str, Path] = {}
    taken = set(GRIDS)
    for preset in plan.presets:
        if preset.name in taken:
            raise SettingsError(f"--presets: another ranker is called {preset.name!r}; name each preset once")
        if preset.split.rule != plan.held_out_by.rule:
            raise SettingsError(
                f"--presets: {preset.name} has {preset.split.rule}, expected {plan.held_out_by.rule} as the others; "
                "one table has one split: give it by --set, such as --set split.kind=time"
            )
        taken.add(preset.name)
    for folder in plan.bundles:
        name = folder.resolve().name
        if name in bundles or name in taken:
            raise SettingsError(f"--bundle {folder}: another ranker is called {name!r}; rename the bundle's folder")
        if not (folder / "manifest.json").is_file():
            raise SettingsError(f"--bundle {folder} holds no manifest.json; name the folder of a bundle")
        bundles[name] = folder
    return bundles
