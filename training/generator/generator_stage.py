"""Stage: feature sets, vocabulary and training sequences -> a trained T5 that recommends."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from clairo_core.build_recommender import load_recommender
from clairo_core.bundle.bundle import Bundle
from clairo_core.catalogue import build_catalogue
from clairo_core.generation.trie.trie import build_trie
from clairo_core.recommender import Recommender
from clairo_core.tokens.tokenizer import Tokenizer
from training.config.preset import FitSettings
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import EvaluationSplit
from training.generator.examples import every_prefix, label_table
from training.generator.expand_generator import expand_generator
from training.generator.fit_generator import fit_generator
from training.generator.start_embeddings import centroid_vectors
from training.generator.token_choices import token_choices
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
    """In transformers' format."""
    progress: FitProgress
    key: str


def generator_stage(
    bench: Workbench, items: DescribedItems, vocabulary: TrainedVocabulary, start: Bundle | None = None
) -> TrainedGenerator:
    """Train the T5. With `start`, its weights begin as that bundle's, with a row for every token of the vocabulary."""
    fit = bench.preset.fit
    inputs = {
        "vocabulary": vocabulary.key,
        "generator": asdict(bench.preset.generator),
        "fit": asdict(fit),
        "seed": bench.seed,
        **({} if start is None else {"start": start.manifest.bundle_id}),
    }

    def started(folder: Path) -> Path | None:
        if start is None:
            return None
        expand_generator(start.measured_generator_folder, folder / "start", vocabulary.vocabulary)
        return folder / "start"

    users = bench.some_validation_users(fit.validation_users)
    return _trained(bench, "generator", inputs, items, vocabulary, fit, users, started)


def refitted_generator_stage(
    bench: Workbench, items: DescribedItems, vocabulary: TrainedVocabulary, measured: TrainedGenerator
) -> TrainedGenerator:
    """Go on with a trained T5, over the sequences that `bench` learns from. Nothing is validated."""
    fit = bench.preset.fit
    fit = replace(fit, max_epochs=refit_epochs(measured.progress, bench.growth), max_minutes=fit.max_minutes / 2)
    inputs = {"measured": measured.key, "learned": bench.training_digest, "fit": asdict(fit)}
    return _trained(bench, "refit-generator", inputs, items, vocabulary, fit, None, lambda _folder: measured.checkpoint)


def _trained(
    bench: Workbench,
    stage_name: str,
    inputs: Mapping[str, object],
    items: DescribedItems,
    vocabulary: TrainedVocabulary,
    fit: FitSettings,
    users: EvaluationSplit | None,
    started: Callable[[Path], Path | None],
) -> TrainedGenerator:
    """Train in a stage. `users` validate; `started` makes the checkpoint to start from in the stage's folder."""
    preset, tokenizer = bench.preset, Tokenizer(vocabulary.vocabulary)
    catalogue = build_catalogue(bench.item_ids, items.feature_sets, tokenizer)

    def recommender_of(checkpoint: Path, num_views: int, num_beams: int) -> Recommender:
        return load_recommender(
            checkpoint,
            tokenizer,
            catalogue,
            bench.training_counts,
            device=bench.device,
            num_views=num_views,
            num_beams=num_beams,
            max_history_items=fit.max_history_items,
        )

    def validation_ndcg(checkpoint: Path, users: EvaluationSplit) -> float:
        recommender = recommender_of(checkpoint, 1, VALIDATION_BEAMS)
        ranks, _ = generated_ranks(
            recommender, bench.item_ids, users, False, "validation", bench.progress, list_length=10
        )
        return float(ndcg_at(ranks, 10).mean())

    def build(folder: Path) -> None:
        fit_generator(
            folder,
            every_prefix(bench.training, fit.max_history_items),
            tokenizer,
            catalogue.feature_tokens,
            label_table(catalogue.canonical),
            token_choices(build_trie(catalogue), catalogue.canonical),
            preset.generator,
            fit,
            feature_vectors=None if items.content is None else centroid_vectors(items.content.quantizer),
            start_from=started(folder),
            device=bench.device,
            seed=bench.seed,
            validate=partial(validation_ndcg, users=users) if users is not None and len(users.targets) else None,
            progress=bench.progress,
            report=bench.report,
        )

    def load(folder: Path) -> tuple[Recommender, FitProgress]:
        evaluated = preset.evaluate
        recommender = recommender_of(folder / "generator", evaluated.num_views, evaluated.num_beams)
        return recommender, load_progress(folder)

    stage = bench.stages.run(stage_name, inputs, build, load)
    recommender, progress = stage.result
    return TrainedGenerator(recommender, stage.folder / "generator", progress, stage.key)
