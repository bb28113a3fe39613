"""Count the pairs of a corpus in parts, here or in other processes. Counts are exact: parts add up to the whole.

Start at `count_in_parts`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Int32, Int64

from clairo_core.progress import Progress
from clairo_core.sequences import ItemSequences
from training.engines.engine import Engine
from training.engines.row_pieces import row_pieces
from training.vocabulary import corpus_kernels, count_part_kernels, pair_count_kernels
from training.vocabulary.pair_count_kernels import NUM_COUNTED, NUM_COUNTERS, NUM_ENTRIES, NUM_PAIRS, NUM_WANTED

_CACHE_LINE = 64
MOST_ENTRIES = 1 << 22
"""Sequences of pairs that a part may have, unless one sequence has more: 50 MB, beside a table of its pairs."""


@dataclass(frozen=True, slots=True, eq=False)
class CountedPairs:
    """The pairs of a part of the sequences."""

    keys: Int64[np.ndarray, "pair"]
    counts: Int64[np.ndarray, "pair"]
    begins: Int64[np.ndarray, "pair"]
    """Pair p is in the sequences from begins[p] to before begins[p + 1]."""
    sequences: Int32[np.ndarray, "entry"]
    """Numbers in the whole corpus, for each pair the newest first."""


def count_in_parts(
    feature_tokens: Int32[np.ndarray, "item category"],
    sequences: ItemSequences,
    set_weights: Int32[np.ndarray, "position"],
    weights: corpus_kernels.Weights,
    engine: Engine,
    progress: Progress,
) -> Iterator[CountedPairs]:
    """Count the pairs of all sequences, a part at a time, in their order."""
    parts = list(row_pieces(sequences.lengths * pairs_per_position(feature_tokens.shape[1]), MOST_ENTRIES))
    counted = engine.map(partial(counting, feature_tokens, sequences, set_weights, weights), parts)
    return iter(progress(counted, "counting pairs", len(parts)))


def counting(
    feature_tokens: Int32[np.ndarray, "item category"],
    sequences: ItemSequences,
    set_weights: Int32[np.ndarray, "position"],
    weights: corpus_kernels.Weights,
) -> Callable[[slice], CountedPairs]:
    """Some sequences -> their pairs."""
    # Kernels take no arrays that processes share.
    own_weights = corpus_kernels.Weights(*map(np.array, weights))

    def count(part: slice) -> CountedPairs:
        chosen = sequences.select(np.arange(part.start, part.stop))
        positions = slice(sequences.offsets[part.start], sequences.offsets[part.stop])
        corpus = corpus_of(feature_tokens, chosen, np.array(set_weights[positions]))
        return _counted(corpus, own_weights, part.start)

    return count


def corpus_of(
    feature_tokens: Int32[np.ndarray, "item category"],
    sequences: ItemSequences,
    set_weights: Int32[np.ndarray, "position"],
) -> corpus_kernels.Corpus:
    """Sequences as sets of features, with empty slots."""
    num_positions, num_categories = len(sequences.items), feature_tokens.shape[1]
    return corpus_kernels.Corpus(
        tokens=feature_tokens[sequences.items],
        set_sizes=np.full(num_positions, num_categories, dtype=np.int32),
        set_weights=set_weights,
        slots=np.zeros(num_positions, dtype=np.int32),
        starts=sequences.offsets[:-1].copy(),
        num_sets=sequences.lengths.astype(np.int32),
    )


def pairs_per_position(num_categories: int) -> int:
    """The most pairs that a set has inside and to the next set, in any state."""
    return num_categories * (num_categories - 1) // 2 + max(num_categories**2, 2 * num_categories)


def empty_pair_table(num_rows: int) -> Int64[np.ndarray, "row column"]:
    """A pair table whose rows do not straddle cache lines: numpy starts large arrays 16 bytes into one."""
    columns = pair_count_kernels.PAIR_COLUMNS
    memory = np.zeros(num_rows * columns + _CACHE_LINE // 8, dtype=np.int64)
    start = -memory.ctypes.data % _CACHE_LINE // 8
    return memory[start : start + num_rows * columns].reshape(num_rows, columns)


def _counted(corpus: corpus_kernels.Corpus, weights: corpus_kernels.Weights, first_sequence: int) -> CountedPairs:
    per_position = pairs_per_position(corpus.tokens.shape[1])
    most_pairs = (int(corpus.num_sets.max()) + 1) * per_position
    keys, deltas = np.empty(most_pairs, dtype=np.int64), np.empty(most_pairs, dtype=np.int64)
    most_entries = len(corpus.set_sizes) * per_position
    entries = np.empty((most_entries, 2), dtype=np.int32)
    pairs = empty_pair_table(min(1 << 20, 1 << most_entries.bit_length()))
    counters = np.zeros(NUM_COUNTERS, dtype=np.int64)
    while counters[NUM_COUNTED] < len(corpus.starts):
        status = count_part_kernels.count_sequences(corpus, weights, pairs, entries, keys, deltas, counters)
        if status == pair_count_kernels.TABLE_FULL:
            num_rows = 2 * len(pairs)
            while not pair_count_kernels.has_room(num_rows, counters[NUM_PAIRS], counters[NUM_WANTED]):
                num_rows *= 2
            larger = empty_pair_table(num_rows)
            pair_count_kernels.move_pairs(pairs, larger)
            pairs = larger
    num_pairs, num_entries = int(counters[NUM_PAIRS]), int(counters[NUM_ENTRIES])
    found, counts, begins = np.empty((3, num_pairs), dtype=np.int64)
    in_sequences = np.empty(num_entries, dtype=np.int32)
    count_part_kernels.list_counts(pairs, entries[:num_entries], first_sequence, found, counts, begins, in_sequences)
    return CountedPairs(found, counts, begins, in_sequences)
