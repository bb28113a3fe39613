"""Stage: feature sets and training sequences -> a vocabulary. `grown_vocabulary_stage` extends an earlier one."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clairo_core.errors import SettingsError
from clairo_core.tokens.spelling import Spelling
from clairo_core.tokens.vocabulary import Vocabulary, load_vocabulary, vocabulary_of_features
from clairo_core.values.counted import counted
from training.config.preset import PARALLEL
from training.items.described_items import DescribedItems
from training.vocabulary.expand_vocabulary import expand_vocabulary
from training.vocabulary.learn_vocabulary import learn_vocabulary, learn_within_memory
from training.workbench.workbench import Workbench

MIB = 2**20
MOST_MERGES = 40_000
SAMPLE = "sample.json"
"""Beside a vocabulary: the number of sequences that memory allowed, null for all that were asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedVocabulary:
    """A vocabulary whose merge rules come from training sequences."""

    vocabulary: Vocabulary
    key: str


def vocabulary_stage(bench: Workbench, items: DescribedItems) -> TrainedVocabulary:
    """Learn merge rules from the training sequences; none for a generator that reads codes instead of tokens.

    Raises:
        VocabularyError: the items' codes cannot be spelled as the settings ask.
    """
    settings = bench.preset.vocabulary
    num_merges = min(MOST_MERGES, round(settings.merges_per_item * len(bench.dataset.items)))
    size = settings.size or 2 + items.space.num_features + num_merges
    if bench.preset.generator.kind == PARALLEL:
        size = 2 + items.space.num_features

    def learn(max_sequences: int | None) -> Vocabulary:
        names, sizes = items.space.category_names, items.space.category_sizes
        if settings.spelling != Spelling.SHUFFLED:
            return vocabulary_of_features(names, sizes, Spelling(settings.spelling))
        return learn_vocabulary(
            items.feature_sets,
            names,
            sizes,
            bench.crowd,
            size,
            max_sequences=max_sequences,
            max_bytes=settings.max_mib * MIB,
            seed=bench.seed,
            progress=bench.progress,
            engine=bench.engine,
        )

    inputs = {
        "items": items.key,
        "size": size,
        "max_sequences": settings.max_sequences,
        "max_user_examples": bench.preset.fit.max_user_examples,
        "seed": bench.seed,
        **({} if settings.spelling == Spelling.SHUFFLED else {"spelling": settings.spelling}),
    }
    merges = settings.spelling == Spelling.SHUFFLED and size > 2 + items.space.num_features
    trained = _learned_stage(bench, inputs, learn, can_exceed_memory=merges)
    vocabulary = trained.vocabulary
    made_of = f"{counted(len(vocabulary.left), 'merge rule')}, padding and end (size asked for: {size})"
    if settings.spelling != Spelling.SHUFFLED:
        made_of = f"{counted(len(vocabulary.markers), 'marker')}, padding and end"
    bench.report(f"vocabulary: {vocabulary.size} tokens = {vocabulary.num_features} features, {made_of}")
    return trained


def grown_vocabulary_stage(
    bench: Workbench, items: DescribedItems, old: Vocabulary, added_tokens: int
) -> TrainedVocabulary:
    """Append up to `added_tokens` merge rules to an earlier vocabulary; 0 keeps it as it is.

    Raises:
        SettingsError: tokens are added, but the vocabulary merges nothing.
    """
    if added_tokens and old.spelling is not Spelling.SHUFFLED:
        raise SettingsError(
            f"--added-tokens {added_tokens}: the bundle's vocabulary is {old.spelling} and merges nothing; "
            "leave the flag out"
        )

    settings = bench.preset.vocabulary

    def learn(max_sequences: int | None) -> Vocabulary:
        if not added_tokens:
            return old
        return expand_vocabulary(
            old,
            items.feature_sets,
            bench.crowd,
            added_tokens,
            max_sequences=max_sequences,
            max_bytes=settings.max_mib * MIB,
            seed=bench.seed,
            progress=bench.progress,
            engine=bench.engine,
        )

    inputs = {
        "items": items.key,
        "added_tokens": added_tokens,
        "max_sequences": settings.max_sequences,
        "max_user_examples": bench.preset.fit.max_user_examples,
        "seed": bench.seed,
    }
    trained = _learned_stage(bench, inputs, learn, can_exceed_memory=added_tokens > 0)
    size = trained.vocabulary.size
    bench.report(f"vocabulary: {size} tokens, {size - old.size} more than before")
    return trained


def _learned_stage(
    bench: Workbench,
    inputs: Mapping[str, object],
    learn: Callable[[int | None], Vocabulary],
    *,
    can_exceed_memory: bool,
) -> TrainedVocabulary:
    """Learn within the preset's memory, in a stage that depends on the memory only where a sample was needed for it.

    Otherwise a vocabulary learned from all sequences, and whatever was trained on it, would be made again for every
    other limit. Hence two stages: the first finds the sample.
    """
    settings = bench.preset.vocabulary

    def build_within_memory(folder: Path) -> None:
        vocabulary, num_sequences = learn_within_memory(learn, settings.max_sequences or None)
        vocabulary.save(folder)
        (folder / SAMPLE).write_text(json.dumps({"sequences": num_sequences}), encoding="utf-8")

    def load_with_sample(folder: Path) -> tuple[Vocabulary, int | None]:
        sample = json.loads((folder / SAMPLE).read_text(encoding="utf-8"))["sequences"]
        return load_vocabulary(folder), None if sample is None else int(sample)

    if not can_exceed_memory:
        stage = bench.stages.run("vocabulary", inputs, lambda folder: learn(None).save(folder), load_vocabulary)
        return TrainedVocabulary(stage.result, stage.key)
    of_memory = {**inputs, "max_mib": settings.max_mib}
    vocabulary, sample = bench.stages.run(
        "vocabulary-in-memory", of_memory, build_within_memory, load_with_sample
    ).result
    if sample is not None:
        inputs = {**inputs, "sample": sample}
        bench.report(
            f"vocabulary: learned from {sample:,} of {len(bench.crowd):,} sequences, as many as fit into "
            f"vocabulary.max_mib={settings.max_mib}"
        )
    stage = bench.stages.run("vocabulary", inputs, vocabulary.save, load_vocabulary)
    return TrainedVocabulary(stage.result, stage.key)
