"""Turn histories and items, given as feature tokens, into the vocabulary's tokens, and tokens back into features.

Knows feature tokens, merge rules and random views; knows nothing of the T5, of HTTP or of item ids.
Start at `Tokenizer.encode_views`.

Source: Hou et al. 2025, "ActionPiece", section 3.2 (set permutation regularization). We differ: randomness is passed
in, as a seed, and the same seed gives the same views whether they are asked for one by one or in a batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32

from clairo_core.errors import FeatureSetError
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.kernels import canonical_kernels, pair_kernels, tokenizer_kernels
from clairo_core.tokens.vocabulary import EOS, FIRST_FEATURE_TOKEN, PAD, Feature, Vocabulary

_SEED_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """Token sequences of different lengths below each other, filled up with PAD."""

    ids: Int32[np.ndarray, "sequence length"]
    lengths: Int32[np.ndarray, "sequence"]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Int32[np.ndarray, "length"]:
        """One sequence without its filling."""
        row: Int32[np.ndarray, length] = self.ids[index, : self.lengths[index]]
        return row


class Tokenizer:
    """Applies a vocabulary's rules. Holds no state that a call changes: threads may share one."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._rule_table = pair_kernels.empty_rule_table(len(vocabulary.left))
        pair_kernels.fill_rule_table(
            self._rule_table,
            vocabulary.left,
            vocabulary.right,
            vocabulary.scaled_counts,
            vocabulary.first_merge_token,
        )
        self._token_limits = np.array([*vocabulary.expanded_at, vocabulary.size], dtype=np.int64)

    def encode_views(
        self,
        feature_tokens: Int32[np.ndarray, "item category"],
        histories: ItemSequences,
        *,
        seed: int,
        eos: bool = True,
    ) -> TokenBatch:
        """Tokenize one random view of every history: each item's features in a random order, then merged.

        Row i depends on the seed, on i and on history i alone. For several views of a history, repeat it.

        Raises:
            FeatureSetError: a history names an item row that `feature_tokens` does not have, or a feature that is
                not in the vocabulary.
        """
        table = self._checked(feature_tokens)
        check_item_rows(histories, len(table))
        ids, lengths = tokenizer_kernels.encode_views(
            table,
            histories.items,
            histories.offsets,
            self._rule_table,
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
        eos: bool = True,
    ) -> TokenBatch:
        """Tokenize `num_views` random views of one history, given as its items' feature tokens, oldest first.

        View i is the one that `encode_views` gives at row i, for the same seed. Takes microseconds.

        Raises:
            FeatureSetError: a feature is not in the vocabulary.
        """
        ids, lengths = tokenizer_kernels.encode_history_views(
            self._checked(feature_tokens),
            num_views,
            self._rule_table,
            seed & _SEED_MASK,
            EOS if eos else PAD,
        )
        return TokenBatch(ids, lengths)

    def encode_canonical(self, feature_tokens: Int32[np.ndarray, "position category"]) -> Int32[np.ndarray, "token"]:
        """Tokenize one history without chance: the heaviest merge first, by the count of its rule times pair weight.

        Raises:
            FeatureSetError: a feature is not in the vocabulary.
        """
        whole = ItemSequences(np.arange(len(feature_tokens)), np.array([0, len(feature_tokens)]))
        return self.encode_canonical_batch(feature_tokens, whole)[0]

    def encode_canonical_batch(
        self, feature_tokens: Int32[np.ndarray, "item category"], histories: ItemSequences
    ) -> TokenBatch:
        """Tokenize every history without chance, as `encode_canonical` does with one; no EOS.

        Raises:
            FeatureSetError: as in `encode_views`.
        """
        table = self._checked(feature_tokens)
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

    def canonical_item_tokens(self, feature_tokens: Int32[np.ndarray, "item category"]) -> TokenBatch:
        """The canonical tokens of each item alone: the generator's target and the item's path in the trie; no EOS.

        Raises:
            FeatureSetError: a feature is not in the vocabulary.
        """
        num_items = len(feature_tokens)
        each_alone = ItemSequences(np.arange(num_items), np.arange(num_items + 1))
        return self.encode_canonical_batch(feature_tokens, each_alone)

    def decode(self, tokens: Iterable[int]) -> tuple[Feature, ...]:
        """The features that tokens stand for, in order; PAD and EOS stand for none.

        Raises:
            VocabularyError: a token is not in the vocabulary.
        """
        return tuple(feature for token in tokens for feature in self.vocabulary.features_of(int(token)))

    def _checked(self, feature_tokens: Int[np.ndarray, "item category"]) -> Int32[np.ndarray, "item category"]:
        """The feature tokens in the form that the kernels take; copied only where they are not in it."""
        num_categories = len(self.vocabulary.category_sizes)
        if feature_tokens.ndim != 2 or feature_tokens.shape[1] != num_categories:
            raise FeatureSetError(
                f"feature tokens must have shape (items, {num_categories}); got {feature_tokens.shape}; "
                "make them with Vocabulary.feature_tokens"
            )
        table = np.ascontiguousarray(feature_tokens, dtype=np.int32)
        first, end = FIRST_FEATURE_TOKEN, self.vocabulary.first_merge_token
        if table.size and not first <= table.min() <= table.max() < end:
            row, category = (int(index[0]) for index in np.nonzero((table < first) | (table >= end)))
            raise FeatureSetError(
                f"item row {row} has feature token {table[row, category]} in category "
                f"{self.vocabulary.category_names[category]!r}, but features are tokens {first}..{end - 1}; "
                "make them with Vocabulary.feature_tokens"
            )
        return table


def stacked(batches: Sequence[TokenBatch]) -> TokenBatch:
    """One batch of the sequences of several, one batch after another."""
    lengths = np.concatenate([batch.lengths for batch in batches])
    ids = np.full((len(lengths), int(lengths.max())), PAD, dtype=np.int32)
    start = 0
    for batch in batches:
        width = min(batch.ids.shape[1], ids.shape[1])
        ids[start : start + len(batch), :width] = batch.ids[:, :width]
        start += len(batch)
    return TokenBatch(ids, lengths)


def check_item_rows(sequences: ItemSequences, num_items: int) -> None:
    """Check that sequences name only rows of a table of `num_items`.

    Raises:
        FeatureSetError: one does not.
    """
    if len(sequences.items) and sequences.items.max() >= num_items:
        position = int(sequences.items.argmax())
        sequence = int(np.searchsorted(sequences.offsets, position, side="right")) - 1
        raise FeatureSetError(
            f"sequence {sequence} holds item row {sequences.items[position]}, but feature sets were given for "
            f"{num_items:,} items; give one for every item"
        )
