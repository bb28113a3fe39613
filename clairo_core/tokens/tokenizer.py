"""Encode histories and items, given as feature tokens, into the vocabulary's tokens, and decode tokens into features.

Start at `Tokenizer.encode_views`. Items are spelled in one of the vocabulary's languages, the first one by default.

Source: Hou et al. 2025, "ActionPiece", section 3.2 (set permutation regularization). We differ: randomness is passed in
as a seed, and equal seeds give equal views, one by one or in a batch; other spellings than `shuffled` draw nothing.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32, Int64

from clairo_core.errors import FeatureSetError
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.kernels import canonical_kernels, pair_kernels, tokenizer_kernels
from clairo_core.tokens.spelling import Language, Spelling
from clairo_core.tokens.vocabulary import EOS, FIRST_FEATURE_TOKEN, PAD, Feature, Vocabulary

_SEED_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Token sequences of different lengths, one per row, filled with PAD."""

    ids: Int32[np.ndarray, "sequence length"]
    lengths: Int32[np.ndarray, "sequence"]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Int32[np.ndarray, "length"]:
        """One sequence without PAD."""
        row: Int32[np.ndarray, length] = self.ids[index, : self.lengths[index]]
        return row


class Tokenizer:
    """Applies a vocabulary's spelling and merge rules. Immutable and thread-safe."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._shuffles = vocabulary.spelling is Spelling.SHUFFLED
        self._token_limits = np.array([*vocabulary.expanded_at, vocabulary.size], dtype=np.int64)

    @functools.cached_property
    def _rule_table(self) -> Int64[np.ndarray, "place"]:
        """At first use: a network of all codes never reads it, and loading the kernels takes a tenth of a start."""
        vocabulary = self.vocabulary
        table = pair_kernels.empty_rule_table(len(vocabulary.left))
        pair_kernels.fill_rule_table(
            table, vocabulary.left, vocabulary.right, vocabulary.scaled_counts, vocabulary.first_merge_token
        )
        return table

    def encode_views(
        self,
        feature_tokens: Int32[np.ndarray, "item category"],
        histories: ItemSequences,
        *,
        seed: int,
        language: Language | None = None,
        eos: bool = True,
    ) -> TokenBatch:
        """Encode one view of every history: each item's features, in random order if shuffled, then merged.

        Row i depends only on the seed, on i and on history i. For several views of a history, repeat it.

        Raises:
            FeatureSetError: a history holds an item row outside `feature_tokens`, or a feature is not in the
                vocabulary.
        """
        table = self._spelled(feature_tokens, language)
        check_item_rows(histories, len(table))
        ids, lengths = tokenizer_kernels.encode_views(
            table,
            histories.items,
            histories.offsets,
            self._rule_table,
            self._shuffles,
            seed & _SEED_MASK,
            EOS if eos else PAD,
        )
        return TokenBatch(ids, lengths)

    def encode_history_views(
        self,
        feature_tokens: Int32[np.ndarray, "position category"],
        num_views: int,
        seed: int,
        *,
        language: Language | None = None,
        eos: bool = True,
    ) -> TokenBatch:
        """Encode `num_views` views of one history, given as its items' feature tokens, oldest first.

        View i equals row i of `encode_views` for the same seed. Takes microseconds.

        Raises:
            FeatureSetError: a feature is not in the vocabulary.
        """
        ids, lengths = tokenizer_kernels.encode_history_views(
            self._spelled(feature_tokens, language),
            num_views,
            self._rule_table,
            self._shuffles,
            seed & _SEED_MASK,
            EOS if eos else PAD,
        )
        return TokenBatch(ids, lengths)

    def encode_canonical(self, feature_tokens: Int32[np.ndarray, "position category"]) -> Int32[np.ndarray, "token"]:
        """Encode one history deterministically: the heaviest merge first, by its rule's count times pair weight.

        Raises:
            FeatureSetError: a feature is not in the vocabulary.
        """
        whole = ItemSequences(np.arange(len(feature_tokens)), np.array([0, len(feature_tokens)]))
        return self.encode_canonical_batch(feature_tokens, whole)[0]

    def encode_canonical_batch(
        self,
        feature_tokens: Int32[np.ndarray, "item category"],
        histories: ItemSequences,
        language: Language | None = None,
    ) -> TokenBatch:
        """Encode every history deterministically, as `encode_canonical` does one; without EOS.

        Raises:
            FeatureSetError: as in `encode_views`.
        """
        table = self._spelled(feature_tokens, language)
        check_item_rows(histories, len(table))
        ids, lengths = canonical_kernels.encode_canonical(
            table,
            histories.items,
            histories.offsets,
            self._rule_table,
            self.vocabulary.left,
            self.vocabulary.right,
            self.vocabulary.first_merge_token,
            self._token_limits,
        )
        return TokenBatch(ids, lengths)

    def canonical_item_tokens(
        self, feature_tokens: Int32[np.ndarray, "item category"], language: Language | None = None
    ) -> TokenBatch:
        """Encode each item alone: the generator's target, and the item's path in the trie; without EOS.

        Raises:
            FeatureSetError: a feature is not in the vocabulary.
        """
        num_items = len(feature_tokens)
        if not len(self.vocabulary.left):
            table = self._spelled(feature_tokens, language)
            return TokenBatch(table, np.full(num_items, table.shape[1], dtype=np.int32))
        each_alone = ItemSequences(np.arange(num_items), np.arange(num_items + 1))
        return self.encode_canonical_batch(feature_tokens, each_alone, language)

    def decode(self, tokens: Iterable[int]) -> tuple[Feature, ...]:
        """Decode tokens into features, in order; PAD, EOS and markers have none.

        Raises:
            VocabularyError: a token is not in the vocabulary.
        """
        return tuple(feature for token in tokens for feature in self.vocabulary.features_of(int(token)))

    def _spelled(
        self, feature_tokens: Int[np.ndarray, "item category"], language: Language | None
    ) -> Int32[np.ndarray, "item place"]:
        return self.vocabulary.spelled(self._checked(feature_tokens), language or self.vocabulary.languages[0])

    def _checked(self, feature_tokens: Int[np.ndarray, "item category"]) -> Int32[np.ndarray, "item category"]:
        """Check feature tokens, and convert them to the kernels' type if necessary."""
        num_categories = len(self.vocabulary.category_sizes)
        if feature_tokens.ndim != 2 or feature_tokens.shape[1] != num_categories:
            raise FeatureSetError(
                f"feature tokens have shape {feature_tokens.shape}, expected (items, {num_categories}); "
                "make them with Vocabulary.feature_tokens"
            )
        table = np.ascontiguousarray(feature_tokens, dtype=np.int32)
        first, end = FIRST_FEATURE_TOKEN, self.vocabulary.features_end
        if table.size and not first <= table.min() <= table.max() < end:
            row, category = (int(index[0]) for index in np.nonzero((table < first) | (table >= end)))
            raise FeatureSetError(
                f"item row {row} has feature token {table[row, category]} in category "
                f"{self.vocabulary.category_names[category]!r}, expected {first} to {end - 1}; "
                "make them with Vocabulary.feature_tokens"
            )
        return table


def stacked(batches: Sequence[TokenBatch]) -> TokenBatch:
    """Stack batches into one, with the width of the longest sequence."""
    lengths = np.concatenate([batch.lengths for batch in batches])
    ids = np.full((len(lengths), int(lengths.max())), PAD, dtype=np.int32)
    start = 0
    for batch in batches:
        width = min(batch.ids.shape[1], ids.shape[1])
        ids[start : start + len(batch), :width] = batch.ids[:, :width]
        start += len(batch)
    return TokenBatch(ids, lengths)


def check_item_rows(sequences: ItemSequences, num_items: int) -> None:
    """Check that sequences hold only rows of a table of `num_items`.

    Raises:
        FeatureSetError: a row is outside the table.
    """
    if len(sequences.items) and sequences.items.max() >= num_items:
        position = int(sequences.items.argmax())
        sequence = int(np.searchsorted(sequences.offsets, position, side="right")) - 1
        raise FeatureSetError(
            f"sequence {sequence} holds item row {sequences.items[position]}, but there are feature sets of "
            f"{num_items:,} items; give one per item"
        )
