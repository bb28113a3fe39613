"""The arrays that the kernels learn a vocabulary in: made from a corpus, enlarged when full, within a number of bytes.

Start at `LearningArrays`. `learn_vocabulary.py` explains the algorithm.
"""

from collections.abc import Iterator
from typing import NoReturn

import numpy as np
from jaxtyping import Int32

from clairo_core.errors import VocabularyError, VocabularyMemoryError
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.kernels.pair_kernels import empty_rule_table
from clairo_core.tokens.vocabulary import MAX_SCALED_COUNT, Vocabulary, weight_scale
from training.vocabulary import corpus_kernels, count_part_kernels, learn_vocabulary_kernels, pair_count_kernels
from training.vocabulary.count_parts import CountedPairs, corpus_of, empty_pair_table, pairs_per_position
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

_FINEST_WEIGHT = 64
"""Steps of the heaviest event's weight."""

MERGES_PER_CALL = 32
"""Work per call of a kernel, between updates of the progress bar and checks for Ctrl-C."""


_LEAST_FREE_SHARE = 8
"""Part of the index that must be free after it was written again, lest it is written too often."""
_SHARE_BEFORE_COUNTING = 0.6
"""Share of the bytes that corpus and index may take; the pair table needs about as much as the rest."""
_SHARE_OF_NEXT_SAMPLE = 0.75
"""Of the sequences that took too much, where nothing shows how many fit."""


class LearningArrays:
    """The arrays of the kernels, and their growth; VocabularyMemoryError where they would exceed `max_bytes`.

    Every array counts in full, written or not, so a corpus fits on every machine or on none. They are allocated here
    because numpy asks the system for large memory pages and numba does not. The pair table is read at random places,
    which is much faster on large pages.
    """

    def __init__(
        self,
        given: Vocabulary,
        feature_tokens: Int32[np.ndarray, "item category"],
        sequences: ItemSequences,
        vocabulary_size: int,
        max_bytes: int | None = None,
    ) -> None:
        self.given = given
        self.max_bytes = max_bytes
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
        num_entries = num_positions * pairs_per_position(num_categories) + 1
        self.examined = np.zeros(len(sequences), dtype=np.int64)
        self._check_bytes_at_first(num_positions * 4 * (num_categories + 3) + 8 * num_entries)
        self.corpus = corpus_of(feature_tokens, sequences, set_weights)
        self.weights = _pair_weights(num_categories, scale, self.unit)
        self.pairs = empty_pair_table(1 << 16)
        self.heap = np.empty((1 << 12, 2), dtype=np.int64)
        self.risen = np.empty(1 << 12, dtype=np.int64)
        self.windows = np.empty((int(sequences.lengths.max()), 2), dtype=np.int64)
        most_pairs = 2 * (int(sequences.lengths.max()) + 1) * num_categories * (2 * num_categories + 1)
        self.keys = np.empty(most_pairs, dtype=np.int64)
        self.deltas = np.empty(most_pairs, dtype=np.int64)
        self.rows = np.empty(most_pairs, dtype=np.int64)
        # Memory is taken only where it is written, so what lies behind the index costs nothing until it grows.
        self._index_and_reserve = np.empty((num_entries + max(num_entries, most_pairs), 2), dtype=np.int32)
        self.index = self._index_and_reserve[:num_entries]
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

    def add_counts(self, part: CountedPairs) -> None:
        """Add the pairs of the next part of the sequences."""
        self.counters[NUM_COUNTED] = 0
        while self.counters[NUM_COUNTED] < len(part.keys):
            self._make_room(
                count_part_kernels.add_counts(
                    self.pairs, self.index, part.keys, part.counts, part.begins, part.sequences, self.counters
                )
            )

    def queue_heaviest(self) -> None:
        """Queue the heaviest pairs, once all are counted. Most are rare and never merge."""
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
            is_finished = status == pair_count_kernels.FINISHED and self.counters[NUM_RULES] < until_rule
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
        """Make room in the array that a kernel found full.

        Raises:
            VocabularyMemoryError: it takes more than `max_bytes`.
        """
        if status == pair_count_kernels.TABLE_FULL:
            self._make_room_for_pairs()
        elif status == pair_count_kernels.INDEX_FULL:
            self._make_room_in_index()
        elif status == pair_count_kernels.RISEN_FULL:
            self.risen = self._grown(self.risen, int(self.counters[NUM_RISEN]), len(self.keys))
        elif status == pair_count_kernels.HEAP_FULL:
            self.heap = self._grown(self.heap, int(self.counters[HEAP_SIZE]), int(self.counters[NUM_RISEN]))
        elif status == pair_count_kernels.HEAP_DRY:
            self.counters[THRESHOLD] = max(int(self.counters[THRESHOLD]) // 2, 1)
            self._queue_rarer_pairs()

    def _make_room_for_pairs(self) -> None:
        """Drop the pairs that have gone, and enlarge the table if that does not leave much room."""
        live = int(np.count_nonzero(self.pairs[:, pair_count_kernels.COUNT]))
        # With room for twice what was missing, the next sequence does not find the table full again.
        wanted, num_rows = 2 * int(self.counters[NUM_WANTED]), len(self.pairs)
        if 10 * live > 6 * num_rows or not pair_count_kernels.has_room(num_rows, live, wanted):
            num_rows *= 2
        while not pair_count_kernels.has_room(num_rows, live, wanted):
            num_rows *= 2
        if num_rows == len(self.pairs) or (
            # A full table is slower, but this one fits.
            not self._fits(num_rows * self.pairs.strides[0])
            and pair_count_kernels.has_room(len(self.pairs), 17 * live // 16, wanted)
        ):
            pair_count_kernels.drop_gone_pairs(self.pairs)
            self.counters[NUM_PAIRS] = live
            return
        self._check_fit(num_rows * self.pairs.strides[0])
        larger = empty_pair_table(num_rows)
        self.counters[NUM_PAIRS] = pair_count_kernels.move_pairs(self.pairs, larger)
        self.pairs = larger

    def _make_room_in_index(self) -> None:
        """Lengthen the index, or write it again without the entries that merges have left behind."""
        if self._lengthened_index():
            return
        learn_vocabulary_kernels.write_index_again(
            self.corpus, self.weights, self.pairs, self.index, self.keys, self.deltas, self.counters
        )
        free = len(self.index) - int(self.counters[NUM_ENTRIES])
        enough = max(int(self.counters[NUM_WANTED]), len(self.index) // _LEAST_FREE_SHARE)
        if free < enough and not self._lengthened_index():
            self._refuse()

    def _lengthened_index(self) -> bool:
        """Whether the index could be given more of its reserve, with room for what a kernel found missing."""
        needed = int(self.counters[NUM_ENTRIES] + self.counters[NUM_WANTED])
        length = min(max(needed, len(self.index) * 5 // 4), len(self._index_and_reserve))
        if length < needed or not self._fits((length - len(self.index)) * self.index.strides[0]):
            return False
        self.index = self._index_and_reserve[:length]
        return True

    def _queue_rarer_pairs(self) -> None:
        """Queue every pair that counts at least the threshold and is not queued."""
        num_pairs = pair_count_kernels.count_pairs_from(self.pairs, int(self.counters[THRESHOLD]))
        self.heap = self._grown(self.heap, int(self.counters[HEAP_SIZE]), num_pairs)
        pair_count_kernels.queue_pairs(self.pairs, self.heap, self.counters)

    def _grown(self, array: np.ndarray, used: int, needed: int) -> np.ndarray:
        """The array with room for `needed` more entries after the used ones, at least 1.5 times as long."""
        if used + needed <= len(array):
            return array
        length = max(used + needed, len(array) * 3 // 2)
        self._check_fit(length * array.strides[0])
        larger = np.empty((length, *array.shape[1:]), dtype=array.dtype)
        larger[:used] = array[:used]
        return larger

    def _fits(self, more_bytes: int) -> bool:
        """Whether all arrays and `more_bytes` stay within `max_bytes`."""
        if self.max_bytes is None:
            return True
        arrays = (
            *(*self.corpus, self.pairs, self.index, self.heap, self.risen, self.examined, self.windows),
            *(self.keys, self.deltas, self.rows, self.rule_table, self.left, self.right, self.scaled_counts),
        )
        return sum(array.nbytes for array in arrays) + more_bytes <= self.max_bytes

    def _check_fit(self, more_bytes: int) -> None:
        """Refuse to allocate more than `max_bytes`."""
        if not self._fits(more_bytes):
            self._refuse()

    def _check_bytes_at_first(self, num_bytes: int) -> None:
        """Refuse a corpus that alone leaves too little for the pairs."""
        if self.max_bytes is not None and num_bytes > _SHARE_BEFORE_COUNTING * self.max_bytes:
            self._refuse(_SHARE_BEFORE_COUNTING * self.max_bytes / num_bytes)

    def _refuse(self, share_that_fits: float = _SHARE_OF_NEXT_SAMPLE) -> NoReturn:
        num_sequences, max_mib = len(self.examined), (self.max_bytes or 0) / 2**20
        raise VocabularyMemoryError(
            f"learning merge rules from {num_sequences:,} sequences takes more than {max_mib:,.0f} MiB; allow more "
            "(vocabulary.max_mib), or learn from fewer",
            num_fitting=int(num_sequences * share_that_fits),
        )


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
