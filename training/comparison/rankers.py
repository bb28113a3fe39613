"""Fit or open one ranker, rank all users with it, and keep the results. Each `rank_*` returns a finished stage."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clairo_core.errors import TrainingError
from clairo_core.items import UserHistory
from clairo_core.progress import Progress
from clairo_core.ranking import NO_LIFTS, load_mixture
from clairo_core.ranking.joint_ranking import GENERATOR
from clairo_core.recommender import Recommender
from training.baselines import fit_sequence_model
from training.baselines.counting_baselines import COUNTING_BASELINES, fit_ease_of
from training.baselines.scorer_mixture import fit_scorer_mixture
from training.baselines.sequence_model import SequenceModelSettings
from training.comparison.recommender_scorer import RecommenderScorer
from training.comparison.run_details import RunDetails, curve_of, details_of_bundle, load_details
from training.config.preset import DENSE_RERANKS
from training.counts import markov
from training.counts.popularity import Popularity, count_interactions, count_popularity
from training.datasets import Dataset
from training.evaluation.answer_times import time_answers
from training.evaluation.choose_settings import Choice
from training.evaluation.item_scorer import ItemScorer
from training.evaluation.rankings import (
    Rankings,
    first_places,
    load_rankings,
    rank_with_recommender,
    rank_with_scores,
    save_rankings,
)
from training.evaluation.repeat_lift import lift_in_words, lift_of_recommender, lift_of_scorer
from training.evaluation.split import (
    ALLOWED,
    EvaluationSplit,
    HeldOut,
    some_users,
    training_sequences,
    validation_split,
)
from training.pipeline.evaluate_bundle import open_bundle
from training.ranking.dense_head_scorer import DenseHeadScorer
from training.ranking.left_out import DENSE_HEAD, PARTS, mixtures_without_each
from training.workbench.stage_cache import StageCache

GRIDS: dict[str, Sequence[Any]] = {
    "popularity": (),
    **{name: baseline.grid for name, baseline in COUNTING_BASELINES.items()},
    **dict.fromkeys(fit_sequence_model.SEQUENCE_MODELS, fit_sequence_model.GRID),
}
"""Baselines by name, in the order of the table, with the candidate settings that validation chooses from."""
WITHOUT = "without "
VALIDATION_USERS = 4000
"""Size of the seeded sample on which early stopping of a neural baseline is measured."""


@dataclass(frozen=True, slots=True)
class ComparisonSetup:
    """The users to rank for, and the cache of results."""

    data: Path
    dataset: Dataset
    targets: HeldOut
    lift_users: EvaluationSplit
    """The validation users on whom each ranker's lift for repeats is chosen, by one rule for all."""
    users: Mapping[str, object]
    """The inputs that determine `targets`, part of every ranking's digest."""
    stages: StageCache
    device: str
    progress: Progress
    report: Callable[[str], None]


def rank_baseline(
    setup: ComparisonSetup, name: str, budget: fit_sequence_model.FitBudget, num_seeds: int
) -> list[Path]:
    """Rank with a baseline: counting ones once, a neural one once per seed."""
    if name in fit_sequence_model.SEQUENCE_MODELS:
        fits = [fit_neural(setup, name, budget, None, seed=0)]
        chosen = json.loads((fits[0] / "settings.json").read_text(encoding="utf-8"))
        settings = SequenceModelSettings(**chosen)
        fits += [fit_neural(setup, name, budget, settings, seed) for seed in range(1, num_seeds)]
        return [
            setup.stages.run(
                f"rank-{name}-seed{seed}",
                {**setup.users, "fit": fit.name},
                partial(_rank_neural, setup, name, fit),
                read_kept,
            ).folder
            for seed, fit in enumerate(fits)
        ]
    grid = [asdict(settings) for settings in GRIDS[name]]
    build = partial(_rank_counts, setup, name)
    return [setup.stages.run(f"rank-{name}", {**setup.users, "grid": grid}, build, read_kept).folder]


def fit_neural(
    setup: ComparisonSetup,
    name: str,
    budget: fit_sequence_model.FitBudget,
    settings: SequenceModelSettings | None,
    seed: int,
) -> Path:
    """Train a neural baseline with `settings`, or with those that validation chooses from the grid."""
    grid = fit_sequence_model.GRID if settings is None else (settings,)

    def build(folder: Path) -> None:
        choice = fit_sequence_model.choose_sequence_model(
            name,
            folder,
            training_sequences(setup.dataset),
            len(setup.dataset.items),
            some_users(validation_split(setup.dataset), VALIDATION_USERS, seed=0),
            grid=grid,
            budget=budget,
            seed=seed,
            progress=setup.progress,
        )
        (folder / "note.txt").write_text(described(choice), encoding="utf-8")

    inputs = {
        "dataset": setup.dataset.fingerprint,
        "grid": [asdict(candidate) for candidate in grid],
        "budget": asdict(budget),
        "seed": seed,
    }
    load = partial(fit_sequence_model.load_sequence_model, name, num_items=len(setup.dataset.items))
    return setup.stages.run(f"fit-{name}-seed{seed}", inputs, build, load).folder


def _rank_neural(setup: ComparisonSetup, name: str, fit: Path, folder: Path) -> None:
    note = (fit / "note.txt").read_text(encoding="utf-8")
    scorer, state = fit_sequence_model.load_sequence_model(name, fit, len(setup.dataset.items))
    keep_scored(setup, folder, scorer, name, note, RunDetails(curve=curve_of(asdict(state))))


def _rank_counts(setup: ComparisonSetup, name: str, folder: Path) -> None:
    training, num_items = training_sequences(setup.dataset), len(setup.dataset.items)
    scorer: ItemScorer = Popularity(count_popularity(training, num_items))
    settings: dict[str, float] = {}
    note = "training counts"
    if name in COUNTING_BASELINES:
        validation = validation_split(setup.dataset)
        choice = COUNTING_BASELINES[name].choose(setup.dataset, training, validation, setup.progress)
        scorer, settings, note = choice.scorer, asdict(choice.settings), described(choice)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    keep_scored(setup, folder, scorer, name, note)


def rank_bundle(setup: ComparisonSetup, name: str, bundle: Path, seed: int = 0, part: str = "") -> Path:
    """Rank all users with the bundle, or with one of its `parts_of`."""
    inputs = {**setup.users, "manifest": manifest_digest(bundle)}
    stage = f"rank-{name}-seed{seed}"
    if part.startswith(WITHOUT):
        inputs["mixtures"] = fit_without(setup, name, bundle, seed).name
    if part:
        inputs["part"] = part
        stage = f"rank-{name}-{part.replace(' ', '-')}-seed{seed}"
    return setup.stages.run(stage, inputs, partial(_rank_bundle, setup, name, bundle, seed, part), read_kept).folder


def parts_of(bundle: Path) -> tuple[str, ...]:
    """What can rank beside the whole bundle: two parts alone, and all but one part.

    A generator alone has none, and one that is reranked by the dense head has no weights to fit without a part.
    """
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    if not any(file.startswith("ranking/") for file in manifest["files"]):
        return ()
    if manifest["settings"].get("mix", {}).get("kind") == DENSE_RERANKS:
        return (GENERATOR, DENSE_HEAD)
    return (GENERATOR, DENSE_HEAD, *(WITHOUT + part for part in PARTS))


def fit_without(setup: ComparisonSetup, name: str, bundle: Path, seed: int) -> Path:
    """Fit new weights without each part of a bundle, on the validation users of its own weights."""

    def build(folder: Path) -> None:
        mix = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["settings"]["mix"]
        users = some_users(validation_split(setup.dataset), mix["max_users"], seed=0)
        item_ids = [item.item_id for item in setup.dataset.items]
        fitted = mixtures_without_each(open_recommender(setup, bundle), item_ids, users, seed, setup.progress)
        for part, mixture in fitted.items():
            mixture.save(folder / part)

    def load(folder: Path) -> None:
        for part in PARTS:
            load_mixture(folder / part)

    # A bundle may be measured on other data than it was trained on.
    inputs = {"dataset": setup.dataset.fingerprint, "manifest": manifest_digest(bundle)}
    return setup.stages.run(f"without-{name}-seed{seed}", inputs, build, load).folder


def _rank_bundle(setup: ComparisonSetup, name: str, bundle: Path, seed: int, part: str, folder: Path) -> None:
    recommender = open_recommender(setup, bundle)
    ranking = recommender.joint_ranking
    note = f"the bundle's {part} alone" if part else "bundle"
    if part.startswith(WITHOUT):
        assert ranking is not None
        fitted = load_mixture(fit_without(setup, name, bundle, seed) / part.removeprefix(WITHOUT))
        note = f"the bundle {part}, new weights for the others, fitted on validation"
        keep_recommended(setup, folder, bundle, recommender.ranked_by(replace(ranking, mixture=fitted)), note)
    elif part == DENSE_HEAD:
        assert ranking is not None
        scorer = DenseHeadScorer(ranking.dense_heads, len(setup.dataset.items))
        keep_scored(setup, folder, scorer, f"{bundle.name}, {DENSE_HEAD}", note)
    else:
        ranked_by = recommender.ranked_by(None) if part == GENERATOR else recommender
        keep_recommended(setup, folder, bundle, ranked_by, note)


def open_recommender(setup: ComparisonSetup, bundle: Path) -> Recommender:
    """Open a bundle whose first items are those of the dataset.

    Raises:
        TrainingError: the bundle leaves out items of the dataset.
    """
    opened = open_bundle(bundle, setup.data, setup.device, setup.progress, setup.report)
    if [item.item_id for item in opened.dataset.items] != [item.item_id for item in setup.dataset.items]:
        raise TrainingError(
            f"{bundle} leaves out items of {setup.dataset.name} that its settings cannot use, and one table ranks one "
            "catalogue; measure it alone with clairo-train evaluate"
        )
    return opened.recommender


def keep_recommended(setup: ComparisonSetup, folder: Path, bundle: Path, recommender: Recommender, note: str) -> None:
    """Rank all users by a recommender's lists, time some answers, and keep both."""
    split = setup.targets[ALLOWED]
    item_ids = [item.item_id for item in setup.dataset.items]

    def answer(user: int) -> object:
        history = UserHistory(tuple(item_ids[row] for row in split.histories[user]))
        return recommender.recommend(history, 10)

    vocabulary = recommender.tokenizer.vocabulary
    details = details_of_bundle(
        json.loads((bundle / "manifest.json").read_text(encoding="utf-8")).get("metrics", {}),
        recommender.catalogue.feature_sets,
        vocabulary.category_names,
        vocabulary.category_sizes,
        time_answers(answer, len(split.targets)),
    )
    missing = sum(item_ids[target] not in recommender.catalogue for target in split.target_items)
    note += f"; {missing} targets are not in its catalogue and count as misses" if missing else ""
    lift = lift_of_recommender(recommender, item_ids, setup.lift_users, bundle.name, setup.progress)
    rankings = rank_with_recommender(recommender, item_ids, setup.targets, bundle.name, setup.progress, lift)
    keep(folder, rankings, lift, note, details)


def rank_mixture(
    setup: ComparisonSetup, name: str, bundle: Path | None, settings_files: Mapping[str, Path], seed: int = 0
) -> Path:
    """Mix Markov and EASE, with the settings in `settings_files`, and the bundle; weights are fitted on validation."""
    settings = {baseline: json.loads(file.read_text(encoding="utf-8")) for baseline, file in settings_files.items()}
    manifest = "" if bundle is None else manifest_digest(bundle)
    inputs = {**setup.users, "parts": settings, "manifest": manifest}
    build = partial(_rank_mixture, setup, bundle, settings)
    return setup.stages.run(f"mix-{name}-seed{seed}", inputs, build, read_kept).folder


def _rank_mixture(
    setup: ComparisonSetup, bundle: Path | None, settings: Mapping[str, Mapping[str, float]], folder: Path
) -> None:
    dataset = setup.dataset
    training, num_items = training_sequences(dataset), len(dataset.items)
    markov_settings = markov.MarkovSettings(**settings["markov"])  # type: ignore[arg-type]
    components: list[ItemScorer] = [
        markov.fit_markov(training, num_items, markov_settings),
        fit_ease_of(settings["ease"], training, num_items),
    ]
    if bundle is not None:
        opened = open_bundle(bundle, setup.data, setup.device, setup.progress, setup.report)
        recommender = opened.recommender.with_repeat_lifts(NO_LIFTS)
        components.append(RecommenderScorer(recommender, tuple(item.item_id for item in dataset.items)))
    mixture = fit_scorer_mixture(
        components, count_interactions(training, num_items), validation_split(dataset), progress=setup.progress
    )
    note = "added in item space; weights by training count and history length, fitted on validation"
    keep_scored(setup, folder, mixture, "mixture", note)


def manifest_digest(bundle: Path) -> str:
    """SHA-256 of the manifest, which holds the digests of all other files."""
    return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def described(choice: Choice) -> str:
    """Describe the chosen settings: `regularization 100, decay 0.9; chosen from 20 on validation`."""
    values = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in asdict(choice.settings).items())
    return f"{values}; {choice.how}"


def keep_scored(
    setup: ComparisonSetup, folder: Path, scorer: ItemScorer, label: str, note: str, details: RunDetails = RunDetails()
) -> None:
    """Rank all users by a scorer, time some answers, and keep both."""
    histories = setup.targets[ALLOWED].histories

    def answer(user: int) -> object:
        return first_places(scorer.scores(histories.select(np.array([user]))))

    timed = replace(details, milliseconds=time_answers(answer, len(histories)))
    lift = lift_of_scorer(scorer, setup.lift_users, label, setup.progress)
    rankings = rank_with_scores(scorer, setup.targets, f"{label}: ranking", setup.progress, lift)
    keep(folder, rankings, lift, note, timed)


def keep(folder: Path, rankings: Rankings, repeat_lift: float, note: str, details: RunDetails) -> None:
    """Write a ranker's rankings, its note with its lift for repeats, and its run details."""
    save_rankings(folder / "rankings.npz", rankings)
    (folder / "note.txt").write_text(f"{note}; weighed, repeats {lift_in_words(repeat_lift)}", encoding="utf-8")
    details.save(folder / "details.json")


def read_kept(folder: Path) -> tuple[Rankings, str, RunDetails]:
    """Read what `keep` wrote."""
    note = (folder / "note.txt").read_text(encoding="utf-8")
    return load_rankings(folder / "rankings.npz"), note, load_details(folder / "details.json")
