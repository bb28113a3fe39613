"""Fit or open one ranker, let it rank everybody, and keep what came out. Each function returns a finished stage.

Knows baselines, bundles, mixtures and the stages that hold their results; knows nothing of tables.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from clairo_core.errors import TrainingError
from clairo_core.items import UserHistory
from clairo_core.progress import Progress
from clairo_core.recommender import Recommender
from training.baselines import fit_sequence_model
from training.baselines.mixture import fit_scorer_mixture
from training.baselines.sequence_model import SequenceModelSettings
from training.comparison.recommender_scorer import RecommenderScorer
from training.comparison.run_details import RunDetails, curve_of, details_of_bundle, load_details, time_answers
from training.counts import ease, markov
from training.counts.popularity import Popularity, count_popularity
from training.datasets import Dataset
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
from training.evaluation.split import EvaluationSplit, some_users, training_sequences, validation_split
from training.pipeline.evaluate_bundle import open_bundle
from training.ranking.dense_head_scorer import DenseHeadScorer
from training.workbench.stage_cache import StageCache

GRIDS: dict[str, Sequence[markov.MarkovSettings | ease.EaseSettings | SequenceModelSettings]] = {
    "popularity": (),
    "markov": markov.GRID,
    "ease": ease.GRID,
    **dict.fromkeys(fit_sequence_model.SEQUENCE_MODELS, fit_sequence_model.GRID),
}
"""The baselines by name, with the settings that validation chooses from."""
GENERATOR, DENSE_HEAD = "generator", "dense head"
"""The parts of a bundle that rank every user's items alone."""
VALIDATION_USERS = 4000
"""What ends a neural baseline's training is measured on a seeded sample of so many."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Who is ranked for, and where results are kept."""

    data: Path
    dataset: Dataset
    split: EvaluationSplit
    users: Mapping[str, object]
    """What `split` follows from: part of every ranking's digest."""
    stages: StageCache
    device: str
    progress: Progress
    report: Callable[[str], None]


def rank_baseline(contest: Contest, name: str, budget: fit_sequence_model.FitBudget, num_seeds: int) -> list[Path]:
    """Popularity and counts once; a neural baseline once for each seed."""
    if name in fit_sequence_model.SEQUENCE_MODELS:
        fits = [fit_neural(contest, name, budget, None, seed=0)]
        chosen = json.loads((fits[0] / "settings.json").read_text(encoding="utf-8"))
        settings = SequenceModelSettings(**chosen)
        fits += [fit_neural(contest, name, budget, settings, seed) for seed in range(1, num_seeds)]
        return [
            contest.stages.run(
                f"rank-{name}-seed{seed}",
                {**contest.users, "fit": fit.name},
                partial(_rank_neural, contest, name, fit),
                read_kept,
            ).folder
            for seed, fit in enumerate(fits)
        ]
    grid = [asdict(settings) for settings in GRIDS[name]]
    build = partial(_rank_counts, contest, name)
    return [contest.stages.run(f"rank-{name}", {**contest.users, "grid": grid}, build, read_kept).folder]


def fit_neural(
    contest: Contest,
    name: str,
    budget: fit_sequence_model.FitBudget,
    settings: SequenceModelSettings | None,
    seed: int,
) -> Path:
    """A trained baseline; with the settings of the first seed, or those that validation chooses from the grid."""
    grid = fit_sequence_model.GRID if settings is None else (settings,)

    def build(folder: Path) -> None:
        choice = fit_sequence_model.choose_sequence_model(
            name,
            folder,
            training_sequences(contest.dataset),
            len(contest.dataset.items),
            some_users(validation_split(contest.dataset), VALIDATION_USERS, seed=0),
            grid=grid,
            budget=budget,
            seed=seed,
            progress=contest.progress,
        )
        (folder / "note.txt").write_text(described(choice), encoding="utf-8")

    inputs = {
        "dataset": contest.dataset.fingerprint,
        "grid": [asdict(candidate) for candidate in grid],
        "budget": asdict(budget),
        "seed": seed,
    }
    load = partial(fit_sequence_model.load_sequence_model, name, num_items=len(contest.dataset.items))
    return contest.stages.run(f"fit-{name}-seed{seed}", inputs, build, load).folder


def _rank_neural(contest: Contest, name: str, fit: Path, folder: Path) -> None:
    note = (fit / "note.txt").read_text(encoding="utf-8")
    scorer, state = fit_sequence_model.load_sequence_model(name, fit, len(contest.dataset.items))
    keep_scored(contest, folder, scorer, name, note, RunDetails(curve=curve_of(asdict(state))))


def _rank_counts(contest: Contest, name: str, folder: Path) -> None:
    """Fit on training sequences, choose settings on validation, rank."""
    training, num_items = training_sequences(contest.dataset), len(contest.dataset.items)
    validation = validation_split(contest.dataset)
    scorer: ItemScorer
    settings: dict[str, float] = {}
    note = "training counts"
    if name == "popularity":
        scorer = Popularity(count_popularity(training, num_items))
    elif name == "markov":
        chosen = markov.choose_markov(training, num_items, validation, contest.progress)
        scorer, settings, note = chosen.scorer, asdict(chosen.settings), described(chosen)
    else:
        choice = ease.choose_ease(training, num_items, validation, contest.progress)
        scorer, settings, note = choice.scorer, asdict(choice.settings), described(choice)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    keep_scored(contest, folder, scorer, name, note)


def rank_bundle(contest: Contest, name: str, bundle: Path, seed: int = 0) -> Path:
    """Let the bundle recommend to everybody."""
    build = partial(_rank_bundle, contest, bundle)
    inputs = {**contest.users, "manifest": manifest_digest(bundle)}
    return contest.stages.run(f"rank-{name}-seed{seed}", inputs, build, read_kept).folder


def rank_part(contest: Contest, name: str, bundle: Path, part: str, seed: int = 0) -> Path:
    """Let one of `parts_of` the bundle rank for everybody, alone."""
    build = partial(_rank_generator if part == GENERATOR else _rank_dense_head, contest, bundle)
    inputs = {**contest.users, "manifest": manifest_digest(bundle), "part": part}
    return contest.stages.run(f"rank-{name}-{part.replace(' ', '-')}-seed{seed}", inputs, build, read_kept).folder


def parts_of(bundle: Path) -> tuple[str, ...]:
    """What the bundle ranks together, and can rank alone; nothing for a bundle that is a generator alone."""
    files = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["files"]
    return (GENERATOR, DENSE_HEAD) if any(file.startswith("ranking/") for file in files) else ()


def _rank_bundle(contest: Contest, bundle: Path, folder: Path) -> None:
    keep_recommended(contest, folder, bundle, open_recommender(contest, bundle), "bundle")


def _rank_generator(contest: Contest, bundle: Path, folder: Path) -> None:
    recommender = open_recommender(contest, bundle).ranked_by(None)
    keep_recommended(contest, folder, bundle, recommender, "the bundle's generator alone")


def _rank_dense_head(contest: Contest, bundle: Path, folder: Path) -> None:
    ranking, num_items = open_recommender(contest, bundle).joint_ranking, len(contest.dataset.items)
    assert ranking is not None
    scorer = DenseHeadScorer(ranking.dense_head, num_items)
    keep_scored(contest, folder, scorer, f"{bundle.name}, {DENSE_HEAD}", "the bundle's dense head alone")


def open_recommender(contest: Contest, bundle: Path) -> Recommender:
    """The bundle's, whose first items are the contest's.

    Raises:
        TrainingError: it leaves out some of the dataset's items.
    """
    opened = open_bundle(bundle, contest.data, contest.device, contest.progress, contest.report)
    if [item.item_id for item in opened.dataset.items] != [item.item_id for item in contest.dataset.items]:
        raise TrainingError(
            f"{bundle} leaves out items of {contest.dataset.name} that cannot be used as it is set; "
            "one table ranks one catalogue, so compare it alone with clairo-train evaluate"
        )
    return opened.recommender


def keep_recommended(contest: Contest, folder: Path, bundle: Path, recommender: Recommender, note: str) -> None:
    """Rank everybody by a recommender's lists, time some answers, and keep both."""
    split = contest.split
    item_ids = [item.item_id for item in contest.dataset.items]

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
    missing = sum(item_ids[target] not in recommender.catalogue for target in split.targets)
    note += f"; {missing} targets are not in its catalogue and count as misses" if missing else ""
    keep(folder, rank_with_recommender(recommender, item_ids, split, bundle.name, contest.progress), note, details)


def rank_mixture(contest: Contest, name: str, bundle: Path | None, parts: Mapping[str, Path], seed: int = 0) -> Path:
    """Markov and EASE as they were chosen (`parts`: their settings), and the bundle, weighed on validation."""
    settings = {part: json.loads(file.read_text(encoding="utf-8")) for part, file in parts.items()}
    manifest = "" if bundle is None else manifest_digest(bundle)
    inputs = {**contest.users, "parts": settings, "manifest": manifest}
    build = partial(_rank_mixture, contest, bundle, settings)
    return contest.stages.run(f"mix-{name}-seed{seed}", inputs, build, read_kept).folder


def _rank_mixture(
    contest: Contest, bundle: Path | None, settings: Mapping[str, Mapping[str, float]], folder: Path
) -> None:
    dataset = contest.dataset
    training, num_items = training_sequences(dataset), len(dataset.items)
    markov_settings = markov.MarkovSettings(**settings["markov"])  # type: ignore[arg-type]
    components: list[ItemScorer] = [
        markov.fit_markov(training, num_items, markov_settings),
        ease.fit_ease(training, num_items, ease.EaseSettings(**settings["ease"])),
    ]
    if bundle is not None:
        opened = open_bundle(bundle, contest.data, contest.device, contest.progress, contest.report)
        components.append(RecommenderScorer(opened.recommender, tuple(item.item_id for item in dataset.items)))
    mixture = fit_scorer_mixture(
        components, count_popularity(training, num_items), validation_split(dataset), progress=contest.progress
    )
    note = "added in item space; weights by training count and history length, fitted on validation"
    keep_scored(contest, folder, mixture, "mixture", note)


def manifest_digest(bundle: Path) -> str:
    """SHA-256 of the manifest, which holds the digests of all else."""
    return hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def described(choice: Choice) -> str:
    """The settings in words: `regularization 100, decay 0.9; chosen from 20 on validation`."""
    values = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in asdict(choice.settings).items())
    return f"{values}; chosen from {len(choice.tried)} on validation"


def keep_scored(
    contest: Contest, folder: Path, scorer: ItemScorer, label: str, note: str, details: RunDetails = RunDetails()
) -> None:
    """Rank everybody by a scorer, time some answers, and keep both."""
    histories = contest.split.histories

    def answer(user: int) -> object:
        return first_places(scorer.scores(histories.select(np.array([user]))))

    timed = RunDetails(time_answers(answer, len(histories)), details.curve, details.categories, details.share_colliding)
    rankings = rank_with_scores(scorer, contest.split, f"{label}: ranking", contest.progress)
    keep(folder, rankings, note, timed)


def keep(folder: Path, rankings: Rankings, note: str, details: RunDetails) -> None:
    """Write a ranker's rankings, and what is to be said of it."""
    save_rankings(folder / "rankings.npz", rankings)
    (folder / "note.txt").write_text(note, encoding="utf-8")
    details.save(folder / "details.json")


def read_kept(folder: Path) -> tuple[Rankings, str, RunDetails]:
    """Read what `keep` wrote."""
    note = (folder / "note.txt").read_text(encoding="utf-8")
    return load_rankings(folder / "rankings.npz"), note, load_details(folder / "details.json")
