"""Learn a vocabulary: item sequences and feature sets in, merge rules out.

Start at `learn_vocabulary`. The arrays are in `learning_arrays.py`, the loops in `learn_vocabulary_kernels.py`.

Source: Hou et al. 2025, "ActionPiece", section 3.1. A pair of tokens inside a set of m weighs 2/m, a pair across
neighbouring sets 1/(m1*m2); the heaviest pair becomes a token, inside its set or in the slot between the sets. We
differ: a pair that vanishes is removed from the counts, counts are exact integers with ties going to the smallest pair,
a pair that recurs after it has become a token merges into that token instead of a second one, and a pair also has the
weight of its set's event, or the product of both events' weights.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int, Int32

from clairo_core.errors import EmptyCorpusError, VocabularyError, VocabularyMemoryError
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import check_item_rows
from clairo_core.tokens.vocabulary import Vocabulary, check_size, vocabulary_of_features
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.vocabulary.count_parts import count_in_parts
from training.vocabulary.learning_arrays import LearningArrays

logger = logging.getLogger(__name__)


def learn_vocabulary(
    feature_sets: Int[np.ndarray, "item category"],
    category_names: Sequence[str],
    category_sizes: Sequence[int],
    sequences: ItemSequences,
    vocabulary_size: int,
    *,
    max_sequences: int | None = None,
    max_bytes: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
    engine: Engine = IN_THIS_PROCESS,
) -> Vocabulary:
    """Learn merge rules until the vocabulary has `vocabulary_size` tokens, PAD, EOS and all features included.

    The same input gives the same vocabulary on every machine. If no pair is left to merge, learning ends early with a
    smaller vocabulary and a warning is logged.

    Args:
        feature_sets: one value per category for every item row.
        category_names: for messages and the readable dump.
        category_sizes: number of values of each category; all of them get a token.
        sequences: item rows, oldest first, training part only; their weights count relative to the largest.
        vocabulary_size: tokens in all.
        max_sequences: learn from a random sample of this many sequences, to bound time; None takes all.
        max_bytes: that the arrays of learning may take; None sets no limit. See `learn_within_memory`.
        seed: of the sample.
        progress: over counting and merging.
        engine: where pairs are counted. This process merges them.

    Raises:
        FeatureSetError: ragged, negative or unknown features, or a sequence with an item row that has none.
        VocabularySizeError: fewer tokens than features, or token numbers overflow.
        EmptyCorpusError: no sequence has an item.
        VocabularyError: inconsistent categories, or `max_sequences` below 1.
        VocabularyMemoryError: learning takes more than `max_bytes`.
    """
    features_only = vocabulary_of_features(category_names, category_sizes)
    check_size(vocabulary_size, features_only.size)
    feature_tokens = features_only.feature_tokens(feature_sets)
    if vocabulary_size == features_only.size:
        return features_only
    chosen = sample_sequences(sequences, max_sequences, seed)
    return learn_more_rules(features_only, feature_tokens, chosen, vocabulary_size, max_bytes, progress, engine)


def learn_within_memory(
    learn: Callable[[int | None], Vocabulary], max_sequences: int | None
) -> tuple[Vocabulary, int | None]:
    """Learn from ever smaller samples until one takes no more memory than it may.

    Args:
        learn: from a number of sequences, None for all.
        max_sequences: to begin with.

    Returns:
        The vocabulary, and the number of sequences where memory allowed fewer than asked for, else None.

    Raises:
        VocabularyMemoryError: no sequence fits.
    """
    num_sequences = max_sequences
    while True:
        try:
            return learn(num_sequences), None if num_sequences == max_sequences else num_sequences
        except VocabularyMemoryError as error:
            if error.num_fitting < 1:
                raise
            num_sequences = error.num_fitting


def sample_sequences(sequences: ItemSequences, max_sequences: int | None, seed: int) -> ItemSequences:
    """A random sample of at most `max_sequences`, in their order. None takes all.

    Raises:
        VocabularyError: `max_sequences` is below 1.
    """
    if max_sequences is not None and max_sequences < 1:
        raise VocabularyError(f"max_sequences is {max_sequences}; expected at least 1, or None to learn from all")
    if max_sequences is None or max_sequences >= len(sequences):
        return sequences
    chosen = np.random.default_rng(seed).choice(len(sequences), size=max_sequences, replace=False)
    return sequences.select(np.sort(chosen))


def learn_more_rules(
    vocabulary: Vocabulary,
    feature_tokens: Int32[np.ndarray, "item category"],
    sequences: ItemSequences,
    vocabulary_size: int,
    max_bytes: int | None = None,
    progress: Progress = silent,
    engine: Engine = IN_THIS_PROCESS,
) -> Vocabulary:
    """Apply a vocabulary's rules to the sequences, then learn more until there are `vocabulary_size` tokens."""
    check_item_rows(sequences, len(feature_tokens))
    if len(sequences.items) == 0:
        raise EmptyCorpusError(
            f"none of the {len(sequences):,} sequences has an item, expected at least one; "
            "check the dataset's interactions and its split"
        )
    learning = LearningArrays(vocabulary, feature_tokens, sequences, vocabulary_size, max_bytes)
    set_weights, weights = learning.corpus.set_weights, learning.weights
    for part in count_in_parts(feature_tokens, sequences, set_weights, weights, engine, progress):
        learning.add_counts(part)
    learning.queue_heaviest()
    for _ in progress(learning.merge_pairs(), "merging pairs", vocabulary_size - vocabulary.first_merge_token):
        pass
    learned = learning.vocabulary()
    if learned.size < vocabulary_size:
        logger.warning(
            "the vocabulary has %d tokens instead of %d: no pair is left to merge", learned.size, vocabulary_size
        )
    return learned
