"""Stage: feature sets, vocabulary and training sequences -> a trained generator that recommends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from clairo_core.build_recommender import load_recommender
from clairo_core.bundle.bundle import Bundle
from clairo_core.catalogue import Catalogue, build_catalogue
from clairo_core.features import COLLISION_CATEGORY
from clairo_core.generation.parallel.network import ParallelNetwork
from clairo_core.generation.parallel.parallel_checkpoint import load_network
from clairo_core.progress import Progress
from clairo_core.recommender import Recommender
from clairo_core.tokens.tokenizer import Tokenizer
from training.config.preset import PARALLEL, FitSettings, ParallelSettings
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import EvaluationSplit
from training.generator.examples import every_prefix
from training.generator.expand_generator import expand_generator
from training.generator.fit_generator import Validate, fit_generator
from training.generator.fit_parallel import fit_parallel
from training.generator.tasks import lessons_of
from training.items.described_items import DescribedItems
from training.vocabulary.vocabulary_stage import TrainedVocabulary
from training.workbench.checkpoints import FitProgress, load_progress
from training.workbench.fit_epochs import refit_epochs
from training.workbench.workbench import Workbench

VALIDATION_BEAMS = 20
"""Enough for a top 10, and the same for every epoch. The test table uses the preset's number."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedGenerator:
    """A generator in its best epoch."""

    recommender: Recommender
    """The generator alone, with views and beams as in the evaluation."""
    checkpoint: Path
    """A T5 in transformers' format, or a network."""
    progress: FitProgress
    key: str


Fit = Callable[[Path, Catalogue, Validate | None], None]
"""Trains a generator of the catalogue in a folder, where the best epoch ends up in `generator`."""


def generator_stage(
    bench: Workbench, items: DescribedItems, vocabulary: TrainedVocabulary, start: Bundle | None = None
) -> TrainedGenerator:
    """Train the generator of the preset's kind.

    With `start`, its weights begin as that bundle's; a T5 gets a row for every token of the vocabulary.
    """
    preset, fit = bench.preset, _settings(bench)
    inputs = {
        "vocabulary": vocabulary.key,
        "generator": asdict(preset.generator),
        "fit": asdict(fit),
        "seed": bench.seed,
        **({} if start is None else {"start": start.manifest.bundle_id}),
        # Each language is learned from the items that teach; precomputed codes depend on none.
        **({"num_taught": int(bench.teaches.sum())} if len(vocabulary.vocabulary.languages) > 1 else {}),
    }
    users = bench.users_per_epoch(fit.validation_users)
    if isinstance(fit, ParallelSettings):
        network = None if start is None else load_network(start.measured_generator_folder)
        return _trained(
            bench, "generator", inputs, items, vocabulary, fit, users, partial(_fit_network, bench, items, fit, network)
        )

    def started(folder: Path) -> Path | None:
        if start is None:
            return None
        expand_generator(start.measured_generator_folder, folder / "start", vocabulary.vocabulary)
        return folder / "start"

    fit_t5 = partial(_fit_t5, bench, items, vocabulary, fit, started)
    return _trained(bench, "generator", inputs, items, vocabulary, fit, users, fit_t5)


def refitted_generator_stage(
    bench: Workbench, items: DescribedItems, vocabulary: TrainedVocabulary, measured: TrainedGenerator
) -> TrainedGenerator:
    """Go on with a trained generator, over the sequences that `bench` learns from. Nothing is validated."""
    fit, max_epochs = _settings(bench), refit_epochs(measured.progress, bench.growth)
    if isinstance(fit, ParallelSettings):
        fit = replace(fit, max_epochs=max_epochs)
        train: Fit = partial(_fit_network, bench, items, fit, load_network(measured.checkpoint))
    else:
        fit = replace(fit, max_epochs=max_epochs, max_minutes=fit.max_minutes / 2)
        train = partial(_fit_t5, bench, items, vocabulary, fit, lambda _folder: measured.checkpoint)
    inputs = {"measured": measured.key, "learned": bench.training_digest, "fit": asdict(fit)}
    return _trained(bench, "refit-generator", inputs, items, vocabulary, fit, None, train)


def _settings(bench: Workbench) -> FitSettings | ParallelSettings:
    return bench.preset.parallel if bench.preset.generator.kind == PARALLEL else bench.preset.fit


def _trained(
    bench: Workbench,
    stage_name: str,
    inputs: Mapping[str, object],
    items: DescribedItems,
    vocabulary: TrainedVocabulary,
    fit: FitSettings | ParallelSettings,
    users: EvaluationSplit | None,
    train: Fit,
) -> TrainedGenerator:
    """Train in a stage. `users` validate."""
    tokenizer = Tokenizer(vocabulary.vocabulary)
    catalogue = build_catalogue(bench.item_ids, items.feature_sets, tokenizer)

    recommender_of = partial(
        load_recommender,
        tokenizer=tokenizer,
        catalogue=catalogue,
        popularity=bench.training_counts,
        device=bench.device,
        max_history_items=fit.max_history_items,
        item_embeddings=None if items.content is None else items.content.fused.item_embeddings,
    )
    validate = None
    if users is not None and len(users.targets):
        as_validated = partial(
            recommender_of, num_views=len(tokenizer.vocabulary.languages), num_beams=VALIDATION_BEAMS
        )
        validate = partial(_validation_ndcg, as_validated, bench.item_ids, users, bench.progress)

    def load(folder: Path) -> tuple[Recommender, FitProgress]:
        evaluated = bench.preset.evaluate
        recommender = recommender_of(folder / "generator", num_views=evaluated.num_views, num_beams=evaluated.num_beams)
        return recommender, load_progress(folder)

    stage = bench.stages.run(stage_name, inputs, lambda folder: train(folder, catalogue, validate), load)
    recommender, progress = stage.result
    return TrainedGenerator(recommender, stage.folder / "generator", progress, stage.key)


def _validation_ndcg(
    recommender_of: Callable[[Path], Recommender],
    item_ids: Sequence[str],
    users: EvaluationSplit,
    progress: Progress,
    checkpoint: Path,
) -> float:
    """NDCG@10 of the generator alone. Takes plain values: it may run in another process."""
    ranks, _ = generated_ranks(
        recommender_of(checkpoint), item_ids, users, False, "validation", progress, list_length=10
    )
    return float(ndcg_at(ranks, 10).mean())


def _fit_t5(
    bench: Workbench,
    items: DescribedItems,
    vocabulary: TrainedVocabulary,
    fit: FitSettings,
    started: Callable[[Path], Path | None],
    folder: Path,
    catalogue: Catalogue,
    validate: Validate | None,
) -> None:
    """`started` makes the checkpoint to start from in the stage's folder."""
    examples, content = every_prefix(bench.training, fit.max_history_items), None
    if bench.preset.generator.reads_content and items.content is not None:
        content = items.content.fused.item_embeddings.astype(np.float32)
    tokenizer, taught_items = Tokenizer(vocabulary.vocabulary), np.flatnonzero(bench.teaches)
    bench.engine.fit(
        partial(
            fit_generator,
            folder,
            lessons_of(catalogue, tokenizer, examples, taught_items, content),
            bench.preset.generator,
            fit,
            feature_vectors=items.start_vectors(),
            start_from=started(folder),
            device=bench.device,
            seed=bench.seed,
            validate=validate,
            progress=bench.progress,
            report=bench.report,
        )
    )


def _fit_network(
    bench: Workbench,
    items: DescribedItems,
    fit: ParallelSettings,
    start_from: ParallelNetwork | None,
    folder: Path,
    _catalogue: Catalogue,
    validate: Validate | None,
) -> None:
    names, sizes = items.space.category_names, items.space.category_sizes
    num_codebooks = len(names) - (names[-1] == COLLISION_CATEGORY)
    bench.engine.fit(
        partial(
            fit_parallel,
            folder,
            bench.training,
            items.feature_sets[:, :num_codebooks],
            max(sizes[:num_codebooks]),
            fit,
            start_from=start_from,
            device=bench.device,
            seed=bench.seed,
            validate=validate,
            progress=bench.progress,
            report=bench.report,
        )
    )
