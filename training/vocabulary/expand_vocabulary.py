"""Let a vocabulary grow with behaviour seen since it was learned: new sequences in, merge rules appended.

Knows vocabularies, feature sets and sequences; knows nothing of the T5 or of bundles. Start at `expand_vocabulary`.

Every old token keeps its number and its features. The old rules are applied first and new ones only where none of
them applies, so that an item's new canonical tokens are merges of its old ones; `Vocabulary.rule_of` names the two
parts of each new token, from which its row of an embedding table can start.

Source: Hou et al. 2025, "ActionPiece", has no expansion; this goes on with its algorithm where learning had stopped.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from clairo_core.errors import VocabularySizeError
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary, check_size
from training.vocabulary.learn_vocabulary import learn_more_rules, sample_sequences


@dataclass(frozen=True, slots=True)
class HistoryLengths:
    """Mean tokens a history under one vocabulary, EOS left out."""

    canonical: float
    view: float
    """Of one random view."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """A vocabulary that has grown, and what that did to the histories it was expanded for."""

    vocabulary: Vocabulary
    first_new_token: int
    before: HistoryLengths
    after: HistoryLengths

    @property
    def shorter_canonical(self) -> float:
        """How much shorter canonical histories are, from 0 to 1."""
        return 1 - self.after.canonical / self.before.canonical

    @property
    def shorter_view(self) -> float:
        """How much shorter random views are, from 0 to 1; seldom below 0, as new rules change which merges meet."""
        return 1 - self.after.view / self.before.view


def expand_vocabulary(
    vocabulary: Vocabulary,
    feature_sets: Int[np.ndarray, "item category"],
    new_sequences: ItemSequences,
    added_tokens: int,
    *,
    max_sequences: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Expansion:
    """Append up to `added_tokens` merge rules learned from `new_sequences`.

    Where no pair is left to merge, fewer are added, and the log says so.

    Args:
        vocabulary: what to expand; it stays as it is.
        feature_sets: of all items that the sequences name, new ones included, in the vocabulary's categories.
        new_sequences: what users did since, oldest first; add older ones for rules that suit both.
        added_tokens: how many.
        max_sequences: learn from a random choice of so many sequences; None for all.
        seed: which choice, and which views lengths are measured on.
        progress: told about counting and merging.

    Raises:
        VocabularySizeError: no token is asked for, or more than can be numbered.
        FeatureSetError: ragged, negative or unknown features, or a sequence with an item row that has none.
        EmptyCorpusError: no sequence has an item.
    """
    if added_tokens < 1:
        raise VocabularySizeError(f"added_tokens is {added_tokens}; ask for at least one token")
    size = vocabulary.size + added_tokens
    check_size(size, vocabulary.num_features)
    feature_tokens = vocabulary.feature_tokens(feature_sets)
    chosen = sample_sequences(new_sequences, max_sequences, seed)
    grown = learn_more_rules(vocabulary, feature_tokens, chosen, size, progress)
    expanded = dataclasses.replace(grown, expanded_at=(*vocabulary.expanded_at, vocabulary.size))

    def lengths_with(one: Vocabulary) -> HistoryLengths:
        tokenizer = Tokenizer(one)
        return HistoryLengths(
            float(tokenizer.encode_canonical_batch(feature_tokens, chosen).lengths.mean()),
            float(tokenizer.encode_views(feature_tokens, chosen, seed=seed, eos=False).lengths.mean()),
        )

    return Expansion(expanded, vocabulary.size, lengths_with(vocabulary), lengths_with(expanded))
