"""Stage: feature sets, vocabulary and training sequences -> a trained generator that recommends."""

from dataclasses import asdict, dataclass
from pathlib import Path

from clairo_core.build_recommender import load_recommender
from clairo_core.bundle.bundle import Bundle
from clairo_core.catalogue import build_catalogue
from clairo_core.features import COLLISION_CATEGORY
from clairo_core.generation.trie.trie import build_trie
from clairo_core.recommender import Recommender
from clairo_core.tokens.tokenizer import Tokenizer
from training.config.preset import PARALLEL
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import generated_ranks
from training.generator.examples import every_prefix, label_table
from training.generator.expand_generator import expand_generator
from training.generator.fit_generator import fit_generator
from training.generator.fit_parallel import fit_parallel
from training.generator.start_embeddings import centroid_vectors
from training.generator.token_choices import token_choices
from training.items.described_items import DescribedItems
from training.vocabulary.vocabulary_stage import TrainedVocabulary
from training.workbench.checkpoints import FitProgress, load_progress
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


def generator_stage(
    bench: Workbench, items: DescribedItems, vocabulary: TrainedVocabulary, start: Bundle | None = None
) -> TrainedGenerator:
    """Train the generator of the preset's kind.

    With `start`, a T5's weights begin as that bundle's, with a row for every token of the vocabulary.
    """
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
            max_history_items=preset.fit.max_history_items,
        )

    is_parallel = preset.generator.kind == PARALLEL
    num_users = preset.parallel.validation_users if is_parallel else preset.fit.validation_users

    def build(folder: Path) -> None:
        users = bench.some_validation_users(num_users)

        def validation_ndcg(checkpoint: Path) -> float:
            recommender = recommender_of(checkpoint, 1, VALIDATION_BEAMS)
            ranks, _ = generated_ranks(
                recommender, bench.item_ids, users, False, "validation", bench.progress, list_length=10
            )
            return float(ndcg_at(ranks, 10).mean())

        validate = validation_ndcg if len(users.targets) else None
        if is_parallel:
            names, sizes = items.space.category_names, items.space.category_sizes
            num_codebooks = len(names) - (names[-1] == COLLISION_CATEGORY)
            fit_parallel(
                folder,
                bench.training,
                items.feature_sets[:, :num_codebooks],
                max(sizes[:num_codebooks]),
                preset.parallel,
                device=bench.device,
                seed=bench.seed,
                validate=validate,
                progress=bench.progress,
                report=bench.report,
            )
            return
        if start is not None:
            expand_generator(start.generator_folder, folder / "start", vocabulary.vocabulary)
        fit_generator(
            folder,
            every_prefix(bench.training, preset.fit.max_history_items),
            tokenizer,
            catalogue.feature_tokens,
            label_table(catalogue.canonical),
            token_choices(build_trie(catalogue), catalogue.canonical),
            preset.generator,
            preset.fit,
            feature_vectors=None if items.content is None else centroid_vectors(items.content.quantizer),
            start_from=None if start is None else folder / "start",
            device=bench.device,
            seed=bench.seed,
            validate=validate,
            progress=bench.progress,
            report=bench.report,
        )

    def load(folder: Path) -> tuple[Recommender, FitProgress]:
        evaluated = preset.evaluate
        recommender = recommender_of(folder / "generator", evaluated.num_views, evaluated.num_beams)
        return recommender, load_progress(folder)

    inputs = {
        "vocabulary": vocabulary.key,
        "generator": asdict(preset.generator),
        **({"parallel": asdict(preset.parallel)} if is_parallel else {"fit": asdict(preset.fit)}),
        "seed": bench.seed,
        **({} if start is None else {"start": start.manifest.bundle_id}),
    }
    stage = bench.stages.run("generator", inputs, build, load)
    recommender, progress = stage.result
    return TrainedGenerator(recommender, stage.folder / "generator", progress, stage.key)
