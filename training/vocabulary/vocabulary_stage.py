"""Stage: feature sets and training sequences -> a vocabulary. `grown_vocabulary_stage` extends an earlier one."""

from dataclasses import dataclass
from pathlib import Path

from clairo_core.errors import SettingsError
from clairo_core.tokens.spelling import Spelling
from clairo_core.tokens.vocabulary import Vocabulary, load_vocabulary, vocabulary_of_features
from clairo_core.values.counted import counted
from training.config.preset import PARALLEL
from training.items.described_items import DescribedItems
from training.vocabulary.expand_vocabulary import expand_vocabulary
from training.vocabulary.learn_vocabulary import learn_vocabulary
from training.workbench.workbench import Workbench

MOST_MERGES = 40_000


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

    def build(folder: Path) -> None:
        if settings.spelling != Spelling.SHUFFLED:
            names, sizes = items.space.category_names, items.space.category_sizes
            vocabulary_of_features(names, sizes, Spelling(settings.spelling)).save(folder)
            return
        learn_vocabulary(
            items.feature_sets,
            items.space.category_names,
            items.space.category_sizes,
            bench.crowd,
            size,
            max_sequences=settings.max_sequences or None,
            seed=bench.seed,
            progress=bench.progress,
        ).save(folder)

    inputs = {
        "items": items.key,
        "size": size,
        "max_sequences": settings.max_sequences,
        "max_user_examples": bench.preset.fit.max_user_examples,
        "seed": bench.seed,
        **({} if settings.spelling == Spelling.SHUFFLED else {"spelling": settings.spelling}),
    }
    stage = bench.stages.run("vocabulary", inputs, build, load_vocabulary)
    vocabulary = stage.result
    made_of = f"{counted(len(vocabulary.left), 'merge rule')}, padding and end (size asked for: {size})"
    if settings.spelling != Spelling.SHUFFLED:
        made_of = f"{counted(len(vocabulary.markers), 'marker')}, padding and end"
    bench.report(f"vocabulary: {vocabulary.size} tokens = {vocabulary.num_features} features, {made_of}")
    return TrainedVocabulary(vocabulary, stage.key)


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

    def build(folder: Path) -> None:
        if not added_tokens:
            old.save(folder)
            return
        expand_vocabulary(
            old,
            items.feature_sets,
            bench.crowd,
            added_tokens,
            max_sequences=bench.preset.vocabulary.max_sequences or None,
            seed=bench.seed,
            progress=bench.progress,
        ).save(folder)

    inputs = {
        "items": items.key,
        "added_tokens": added_tokens,
        "max_sequences": bench.preset.vocabulary.max_sequences,
        "max_user_examples": bench.preset.fit.max_user_examples,
        "seed": bench.seed,
    }
    stage = bench.stages.run("vocabulary", inputs, build, load_vocabulary)
    bench.report(f"vocabulary: {stage.result.size} tokens, {stage.result.size - old.size} more than before")
    return TrainedVocabulary(stage.result, stage.key)
