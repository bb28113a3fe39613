"""Turn a dataset and a preset into an evaluated bundle, one cached stage after another. Start at `train_bundle`.

    dataset -> feature sets -> vocabulary -> generator -> joint ranking -> repeats -> evaluation -> bundle

Knows the order of the stages and what each one's result depends on; each stage's own module knows the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from clairo_core.build_recommender import load_recommender
from clairo_core.bundle.write_bundle import BundleParts, write_bundle
from clairo_core.catalogue import Catalogue, build_catalogue
from clairo_core.encoders import load_encoder
from clairo_core.features import FeatureSpace
from clairo_core.fusion import load_fusion
from clairo_core.generation.trie.trie import build_trie
from clairo_core.quantizers import load_opq
from clairo_core.ranking import RepeatLifts, load_repeat_lifts
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary, load_vocabulary
from training.counts.popularity import count_popularity
from training.evaluation.metrics import ndcg_at
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import some_users, test_split, training_sequences, validation_split
from training.generator.examples import every_prefix, label_table
from training.generator.fit_generator import fit_generator
from training.generator.start_embeddings import centroid_vectors
from training.generator.token_choices import token_choices
from training.items.describe_items import DescribedItems, describe_items
from training.pipeline.evaluate import Evaluation, evaluate, table_of
from training.pipeline.warm_start import WarmStart, carried_items, grown_vocabulary, start_checkpoint
from training.ranking.fit_repeat_lifts import fit_repeat_lifts, repeat_share
from training.ranking.stages import joint_ranking_stages
from training.vocabulary.learn_vocabulary import learn_vocabulary
from training.workbench.checkpoints import load_progress
from training.workbench.workbench import Workbench

Measure = Callable[[Recommender], Mapping[str, object]]
"""The trained recommender -> further metrics, by name."""
VALIDATION_BEAMS = 20
"""Enough for a top 10, and the same for every epoch; the test table uses the preset's own number."""
REPEAT_USERS = 300
"""Asked for, to see what probability they are given of what they have already: a mean needs no more."""


def train_bundle(
    bench: Workbench, out: Path, measure: Measure | None = None, start: WarmStart | None = None
) -> Evaluation:
    """Run every stage that is not cached, write the bundle to `out`, and return its test table.

    What `measure` makes of the recommender stands among the bundle's metrics. With `start`, items, tokens and weights
    go on from an earlier bundle's; else everything is learned anew.

    Raises:
        ClairoError: whatever a stage cannot work with.
    """
    training = training_sequences(bench.dataset)
    described = describe_items(bench) if start is None else carried_items(bench, start)
    vocabulary, vocabulary_folder = (
        vocabulary_stage(bench, described, training)
        if start is None
        else grown_vocabulary(bench, start, described, training)
    )
    tokenizer = Tokenizer(vocabulary)
    catalogue = build_catalogue([item.item_id for item in bench.dataset.items], described.feature_sets, tokenizer)
    generator_folder = generator_stage(bench, described, vocabulary_folder.name, tokenizer, catalogue, training, start)
    recommender = load_recommender(
        generator_folder / "generator",
        tokenizer,
        catalogue,
        count_popularity(training, len(catalogue)),
        device=bench.device,
        num_views=bench.preset.evaluate.num_views,
        num_beams=bench.preset.evaluate.num_beams,
        max_history_items=bench.preset.fit.max_history_items,
    )
    mixture_folder, dense_folder = None, None
    if bench.preset.dense.dim:
        joint_ranking, mixture_folder, dense_folder = joint_ranking_stages(
            bench, described, generator_folder.name, recommender
        )
        recommender = recommender.ranked_by(joint_ranking)
    ranked_by = generator_folder.name if mixture_folder is None else mixture_folder.name
    recommender = recommender.with_repeat_lifts(repeats_stage(bench, recommender, ranked_by, training))
    evaluation = evaluation_stage(bench, recommender, training)
    further_metrics = {} if measure is None else measure(recommender)
    bench.report(f"bundle: writing {out}")
    parts = bundle_parts(
        bench, described, vocabulary, recommender, training, generator_folder, dense_folder, evaluation
    )
    parts = replace(parts, metrics={**parts.metrics, **further_metrics})
    write_bundle(out, parts)
    return evaluation


def vocabulary_stage(bench: Workbench, described: DescribedItems, training: ItemSequences) -> tuple[Vocabulary, Path]:
    """Merge rules from the training sequences."""
    settings = bench.preset.vocabulary
    size = settings.size or automatic_vocabulary_size(
        described.space, len(bench.dataset.items), settings.merges_per_item
    )

    def build(folder: Path) -> None:
        vocabulary = learn_vocabulary(
            described.feature_sets,
            described.space.category_names,
            described.space.category_sizes,
            training,
            size,
            max_sequences=settings.max_sequences or None,
            seed=bench.seed,
            progress=bench.progress,
        )
        vocabulary.save(folder)

    folder = bench.stages.run(
        "vocabulary",
        {
            "items": described.digest,
            "size": size,
            "max_sequences": settings.max_sequences,
            "seed": bench.seed,
        },
        build,
    )
    vocabulary = load_vocabulary(folder)
    bench.report(
        f"vocabulary: {vocabulary.size} tokens = {vocabulary.num_features} features, "
        f"{len(vocabulary.left)} merge rules, padding and end (size asked for: {size})"
    )
    return vocabulary, folder


def automatic_vocabulary_size(space: FeatureSpace, num_items: int, merges_per_item: float) -> int:
    """Every feature, and `merges_per_item` merge rules an item of the catalogue, up to 40,000."""
    return 2 + space.num_features + min(40_000, round(merges_per_item * num_items))


def generator_stage(
    bench: Workbench,
    described: DescribedItems,
    vocabulary_stage_name: str,
    tokenizer: Tokenizer,
    catalogue: Catalogue,
    training: ItemSequences,
    start: WarmStart | None = None,
) -> Path:
    """Train the T5; `generator/` and `progress.json` in the folder returned."""
    preset = bench.preset
    split = some_users(validation_split(bench.dataset), preset.fit.validation_users, bench.seed)
    popularity = count_popularity(training, len(catalogue))
    item_ids = [item.item_id for item in bench.dataset.items]

    def validation_ndcg(checkpoint: Path) -> float:
        recommender = load_recommender(
            checkpoint,
            tokenizer,
            catalogue,
            popularity,
            device=bench.device,
            num_views=1,
            num_beams=VALIDATION_BEAMS,
            max_history_items=preset.fit.max_history_items,
        )
        ranks, _ = generated_ranks(recommender, item_ids, split, False, "validation", bench.progress, list_length=10)
        return float(ndcg_at(ranks, 10).mean())

    def build(folder: Path) -> None:
        fit_generator(
            folder,
            every_prefix(training, preset.fit.max_history_items),
            tokenizer,
            catalogue.feature_tokens,
            label_table(catalogue.canonical),
            token_choices(build_trie(catalogue), catalogue.canonical),
            preset.generator,
            preset.fit,
            feature_vectors=centroid_vectors(load_opq(described.folders["quantizer"])) if described.folders else None,
            start_from=None if start is None else start_checkpoint(start, tokenizer.vocabulary, folder),
            device=bench.device,
            seed=bench.seed,
            validate=validation_ndcg,
            progress=bench.progress,
            report=bench.report,
        )

    return bench.stages.run(
        "generator",
        {
            "vocabulary": vocabulary_stage_name,
            "generator": asdict(preset.generator),
            "fit": asdict(preset.fit),
            "seed": bench.seed,
        }
        | ({} if start is None else {"start": start.bundle.manifest.bundle_id}),
        build,
    )


def repeats_stage(bench: Workbench, recommender: Recommender, ranked_by: str, training: ItemSequences) -> RepeatLifts:
    """How to weigh what users have already, where seen items may be recommended; `ranked_by` names the stage before."""

    def build(folder: Path) -> None:
        split = some_users(validation_split(bench.dataset), REPEAT_USERS, bench.seed)
        item_ids = [item.item_id for item in bench.dataset.items]
        fit_repeat_lifts(recommender, item_ids, training, split.histories, bench.progress).save(folder / "repeats.json")

    inputs = {
        "ranked_by": ranked_by,
        "views": bench.preset.evaluate.num_views,
        "beams": bench.preset.evaluate.num_beams,
        "seed": bench.seed,
    }
    lifts = load_repeat_lifts(bench.stages.run("repeats", inputs, build) / "repeats.json")
    bench.report(
        f"repeats: {repeat_share(training):.2%} of the next items in training; log-probabilities of what a user has "
        f"are changed by {lifts.generator:+.2f} (generator alone) and {lifts.together:+.2f}"
    )
    return lifts


def evaluation_stage(bench: Workbench, recommender: Recommender, training: ItemSequences) -> Evaluation:
    """The test table; opened once for a bundle, after everything is chosen."""
    evaluation = evaluate(
        recommender,
        bench.dataset,
        training,
        test_split(bench.dataset),
        split_name="test",
        max_users=bench.preset.evaluate.max_users,
        seed=bench.seed,
        num_resamples=bench.preset.evaluate.num_resamples,
        progress=bench.progress,
    )
    bench.report(table_of(evaluation))
    return evaluation


def bundle_parts(
    bench: Workbench,
    described: DescribedItems,
    vocabulary: Vocabulary,
    recommender: Recommender,
    training: ItemSequences,
    generator_folder: Path,
    dense_folder: Path | None,
    evaluation: Evaluation,
) -> BundleParts:
    """Everything that the bundle's folder will hold."""
    metrics = {"evaluation": evaluation.as_dict(), "fit": asdict(load_progress(generator_folder))}
    if dense_folder is not None:
        metrics["dense"] = asdict(load_progress(dense_folder))
    encoders, fusion, quantizer = {}, None, None
    if described.folders:
        encoders = {name: load_encoder(described.folders[name] / "encoder") for name in bench.preset.encode.modalities}
        fusion = load_fusion(described.folders["fusion"])
        quantizer = load_opq(described.folders["quantizer"])
    return BundleParts(
        preset=bench.preset.name,
        max_history_items=bench.preset.fit.max_history_items,
        dataset_name=bench.dataset.name,
        dataset_fingerprint=bench.dataset.fingerprint,
        settings=bench.preset.as_dict() | {"seed": bench.seed},
        metrics=metrics,
        encoders=encoders,
        fusion=fusion,
        quantizer=quantizer,
        vocabulary=vocabulary,
        catalogue=recommender.catalogue,
        item_embeddings=described.fused,
        popularity=count_popularity(training, len(recommender.catalogue)),
        items=bench.dataset.items,
        generator_folder=generator_folder / "generator",
        joint_ranking=recommender.joint_ranking,
        repeat_lifts=recommender.repeat_lifts,
    )
