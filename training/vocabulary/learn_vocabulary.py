"""Learn a vocabulary: item sequences and feature sets in, merge rules out.

Start at `learn_vocabulary`. The loops themselves are in `learn_vocabulary_kernels.py`.

Source: Hou et al. 2025, "ActionPiece", section 3.1. A pair of tokens inside a set of m weighs 2/m, a pair across
neighbouring sets 1/(m1*m2); the heaviest pair becomes a token, inside its set or in the slot between the sets. We
differ: a pair that vanishes is removed from the counts, counts are exact integers with ties going to the smallest pair,
a pair that recurs after it has become a token merges into that token instead of a second one, and a pair also has the
weight of its set's event, or the product of both events' weights.
"""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int, Int32, Int64

from clairo_core.errors import EmptyCorpusError, VocabularyError
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.kernels.pair_kernels import empty_rule_table
from clairo_core.tokens.tokenizer import check_item_rows
from clairo_core.tokens.vocabulary import MAX_SCALED_COUNT, Vocabulary, check_size, vocabulary_of_features, weight_scale
from training.vocabulary import corpus_kernels, learn_vocabulary_kernels, pair_count_kernels
from training.vocabulary.pair_count_kernels import (
    HEAP_SIZE,
    NUM_COUNTED,
    NUM_COUNTERS,
    NUM_ENTRIES,
    NUM_GIVEN,
    NUM_PAIRS,
    NUM_RISEN,
    NUM_RULES,
    NUM_WANTED,
    THRESHOLD,
)

logger = logging.getLogger(__name__)

_CACHE_LINE = 64
_FINEST_WEIGHT = 64
"""Steps of the heaviest event's weight."""

SEQUENCES_PER_CALL = 4096
MERGES_PER_CALL = 32
"""Work per call of a kernel, between updates of the progress bar and checks for Ctrl-C."""


def learn_vocabulary(
    feature_sets: Int[np.ndarray, "item category"],
    category_names: Sequence[str],
    category_sizes: Sequence[int],
    sequences: ItemSequences,
    vocabulary_size: int,
    *,
    max_sequences: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
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
        max_sequences: learn from a random sample of this many sequences, to bound time and memory; None takes all.
        seed: of the sample.
        progress: over counting and merging.

    Raises:
        FeatureSetError: ragged, negative or unknown features, or a sequence with an item row that has none.
        VocabularySizeError: fewer tokens than features, or token numbers overflow.
        EmptyCorpusError: no sequence has an item.
        VocabularyError: inconsistent categories, or `max_sequences` below 1.
    """
    features_only = vocabulary_of_features(category_names, category_sizes)
    check_size(vocabulary_size, features_only.size)
    feature_tokens = features_only.feature_tokens(feature_sets)
    if vocabulary_size == features_only.size:
        return features_only
    chosen = sample_sequences(sequences, max_sequences, seed)
    return learn_more_rules(features_only, feature_tokens, chosen, vocabulary_size, progress)


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
    progress: Progress = silent,
) -> Vocabulary:
    """Apply a vocabulary's rules to the sequences, then learn more until there are `vocabulary_size` tokens."""
    check_item_rows(sequences, len(feature_tokens))
    if len(sequences.items) == 0:
        raise EmptyCorpusError(
            f"none of the {len(sequences):,} sequences has an item, expected at least one; "
            "check the dataset's interactions and its split"
        )
    learning = _Learning(vocabulary, feature_tokens, sequences, vocabulary_size)
    num_calls = -(-len(sequences) // SEQUENCES_PER_CALL)
    for _ in progress(learning.count_pairs(), "counting pairs", num_calls):
        pass
    for _ in progress(learning.merge_pairs(), "merging pairs", vocabulary_size - vocabulary.first_merge_token):
        pass
    learned = learning.vocabulary()
    if learned.size < vocabulary_size:
        logger.warning(
            "the vocabulary has %d tokens instead of %d: no pair is left to merge", learned.size, vocabulary_size
        )
    return learned


class _Learning:
    """The arrays of the kernels, and their growth.

    They are allocated here because numpy asks the system for large memory pages and numba does not. The pair table is
    read at random places, which is much faster on large pages.
    """

    def __init__(
        self,
        given: Vocabulary,
        feature_tokens: Int32[np.ndarray, "item category"],
        sequences: ItemSequences,
        vocabulary_size: int,
    ) -> None:
        self.given = given
        num_categories = feature_tokens.shape[1]
        num_positions = len(sequences.items)
        scale = weight_scale(num_categories)
        largest = scale * num_categories * num_positions
        self.unit, set_weights = _whole_weights(sequences, MAX_SCALED_COUNT // max(largest, 1))
        if largest > MAX_SCALED_COUNT:
            raise VocabularyError(
                f"counts of {num_positions:,} interactions with {num_categories} categories do not fit 64 bits; "
                "use fewer categories, or learn from a sample with max_sequences"
            )
        self.corpus = corpus_kernels.Corpus(
            tokens=feature_tokens[sequences.items],
            set_sizes=np.full(num_positions, num_categories, dtype=np.int32),
            set_weights=set_weights,
            slots=np.zeros(num_positions, dtype=np.int32),
            starts=sequences.offsets[:-1].copy(),
            num_sets=sequences.lengths.astype(np.int32),
        )
        self.weights = _pair_weights(num_categories, scale, self.unit)
        self.pairs = _empty_pair_table(1 << 16)
        # The most entries there can be at first. Memory is taken only where it is written.
        pairs_per_set = num_categories * (num_categories - 1) // 2
        num_entries = num_positions * (pairs_per_set + num_categories**2) + 1
        self.index = np.empty((num_entries, 2), dtype=np.int32)
        self.heap = np.empty((1 << 12, 2), dtype=np.int64)
        self.risen = np.empty(1 << 12, dtype=np.int64)
        self.examined = np.zeros(len(sequences), dtype=np.int64)
        self.windows = np.empty((int(sequences.lengths.max()), 2), dtype=np.int64)
        most_pairs = 2 * (int(sequences.lengths.max()) + 1) * num_categories * (2 * num_categories + 1)
        self.keys = np.empty(most_pairs, dtype=np.int64)
        self.deltas = np.empty(most_pairs, dtype=np.int64)
        self.rows = np.empty(most_pairs, dtype=np.int64)
        num_rules = vocabulary_size - given.first_merge_token
        self.rule_table = empty_rule_table(num_rules)
        self.left, self.right = np.zeros(num_rules, dtype=np.int32), np.zeros(num_rules, dtype=np.int32)
        self.scaled_counts = np.zeros(num_rules, dtype=np.int64)
        num_given = len(given.left)
        self.left[:num_given], self.right[:num_given] = given.left, given.right
        self.scaled_counts[:num_given] = given.scaled_counts
        self.counters = np.zeros(NUM_COUNTERS, dtype=np.int64)
        self.counters[NUM_ENTRIES] = 1
        self.counters[NUM_GIVEN] = num_given

    def count_pairs(self) -> Iterator[None]:
        """Count the pairs of all sequences, in parts, and queue the heaviest."""
        for first in range(0, len(self.examined), SEQUENCES_PER_CALL):
            until = min(first + SEQUENCES_PER_CALL, len(self.examined))
            while self.counters[NUM_COUNTED] < until:
                self._make_room(
                    learn_vocabulary_kernels.count_sequences(
                        self.corpus, self.weights, self.pairs, self.index, self.keys, self.deltas, self.counters, until
                    )
                )
            yield
        # Most pairs are rare and never merge: the heap starts with the heaviest.
        self.counters[THRESHOLD] = max(int(self.pairs[:, pair_count_kernels.COUNT].max()) // 4, 2)
        self._queue_rarer_pairs()

    def merge_pairs(self) -> Iterator[None]:
        """Apply the given rules and learn the others. Yields once per rule, and ends early if no pair is left."""
        is_finished = False
        while not is_finished and self.counters[NUM_RULES] < len(self.left):
            before = int(self.counters[NUM_RULES])
            until_rule = min(before + MERGES_PER_CALL, len(self.left))
            status = learn_vocabulary_kernels.merge_pairs(
                self.corpus,
                self.weights,
                self.pairs,
                self.index,
                self.heap,
                self.risen,
                self.examined,
                self.rule_table,
                self.left,
                self.right,
                self.scaled_counts,
                self.given.first_merge_token,
                self.windows,
                self.keys,
                self.deltas,
                self.rows,
                self.counters,
                until_rule,
            )
            self._make_room(status)
            is_finished = status == learn_vocabulary_kernels.FINISHED and self.counters[NUM_RULES] < until_rule
            yield from (None for _ in range(int(self.counters[NUM_RULES]) - before))

    def vocabulary(self) -> Vocabulary:
        """The given rules and those learned so far."""
        num_rules, num_given = int(self.counters[NUM_RULES]), len(self.given.left)
        scaled_counts = self.scaled_counts[:num_rules].copy()
        scaled_counts[num_given:] = np.maximum(scaled_counts[num_given:] // self.unit**2, 1)
        return Vocabulary(
            category_names=self.given.category_names,
            category_sizes=self.given.category_sizes,
            left=self.left[:num_rules].copy(),
            right=self.right[:num_rules].copy(),
            scaled_counts=scaled_counts,
            expanded_at=self.given.expanded_at,
        )

    def _make_room(self, status: int) -> None:
        """Enlarge the array that a kernel found full."""
        if status == learn_vocabulary_kernels.TABLE_FULL:
            # Dropping the pairs that have gone may be all the room that is needed. With room for twice what was
            # missing, the next sequence does not find the table full again.
            live = int(np.count_nonzero(self.pairs[:, pair_count_kernels.COUNT]))
            num_rows = len(self.pairs) * (2 if 3 * live > len(self.pairs) else 1)
            while not pair_count_kernels.has_room(num_rows, live, 2 * int(self.counters[NUM_WANTED])):
                num_rows *= 2
            larger = _empty_pair_table(num_rows)
            self.counters[NUM_PAIRS] = pair_count_kernels.move_pairs(self.pairs, larger)
            self.pairs = larger
        elif status == learn_vocabulary_kernels.INDEX_FULL:
            self.index = _grown(self.index, int(self.counters[NUM_ENTRIES]), len(self.keys))
        elif status == learn_vocabulary_kernels.RISEN_FULL:
            self.risen = _grown(self.risen, int(self.counters[NUM_RISEN]), len(self.keys))
        elif status == learn_vocabulary_kernels.HEAP_FULL:
            self.heap = _grown(self.heap, int(self.counters[HEAP_SIZE]), int(self.counters[NUM_RISEN]))
        elif status == learn_vocabulary_kernels.HEAP_DRY:
            self.counters[THRESHOLD] = max(int(self.counters[THRESHOLD]) // 2, 1)
            self._queue_rarer_pairs()

    def _queue_rarer_pairs(self) -> None:
        """Queue every pair that counts at least the threshold and is not queued."""
        num_pairs = pair_count_kernels.count_pairs_from(self.pairs, int(self.counters[THRESHOLD]))
        self.heap = _grown(self.heap, int(self.counters[HEAP_SIZE]), num_pairs)
        pair_count_kernels.queue_pairs(self.pairs, self.heap, self.counters)


def _whole_weights(sequences: ItemSequences, most_squared: int) -> tuple[int, Int32[np.ndarray, "position"]]:
    """Each event's weight as a whole number of at least 1, and the number of the heaviest.

    Args:
        sequences: with weights, or without any.
        most_squared: that the square of the largest number may be; fewer steps are coarser.
    """
    if sequences.weights is None:
        return 1, np.ones(len(sequences.items), dtype=np.int32)
    unit = _FINEST_WEIGHT
    while unit > 1 and unit**2 > most_squared:
        unit //= 2
    relative = sequences.each_weight / sequences.each_weight.max(initial=1e-9)
    return unit, np.maximum(np.rint(unit * relative), 1).astype(np.int32)


def _pair_weights(num_categories: int, scale: int, unit: int) -> corpus_kernels.Weights:
    """Pair weights by set size up to `num_categories`, times `scale` and the unit of set weights. Size 0 has no pairs.

    A link has the weights of two sets, so its scale has the unit in them.
    """
    sizes = np.maximum(np.arange(num_categories + 1), 1)
    return corpus_kernels.Weights(inside=2 * scale * unit // sizes, across=scale // (sizes[:, None] * sizes[None, :]))


def _empty_pair_table(num_rows: int) -> Int64[np.ndarray, "row column"]:
    """A pair table whose rows do not straddle cache lines: numpy starts large arrays 16 bytes into one."""
    columns = pair_count_kernels.PAIR_COLUMNS
    memory = np.zeros(num_rows * columns + _CACHE_LINE // 8, dtype=np.int64)
    start = -memory.ctypes.data % _CACHE_LINE // 8
    return memory[start : start + num_rows * columns].reshape(num_rows, columns)


def _grown(array: np.ndarray, used: int, needed: int) -> np.ndarray:
    """The array with room for `needed` more entries after the used ones, at least 1.5 times as long."""
    if used + needed <= len(array):
        return array
    larger = np.empty((max(used + needed, len(array) * 3 // 2), *array.shape[1:]), dtype=array.dtype)
    larger[:used] = array[:used]
    return larger
