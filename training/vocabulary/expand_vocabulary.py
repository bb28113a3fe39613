"""Append merge rules to a vocabulary, learned from sequences seen since. Start at `expand_vocabulary`.

Every old token keeps its number and its features. Old rules apply first, and new ones only where no old rule does: an
item's new canonical tokens are merges of its old ones. `Vocabulary.rule_of` gives the two parts of each new token, from
which its embedding can start.

Source: Hou et al. 2025, "ActionPiece", has no expansion. This resumes its algorithm where learning stopped.
"""

import dataclasses

import numpy as np
from jaxtyping import Int

from clairo_core.errors import VocabularySizeError
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.vocabulary import Vocabulary, check_size
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.vocabulary.learn_vocabulary import learn_more_rules, sample_sequences


def expand_vocabulary(
    vocabulary: Vocabulary,
    feature_sets: Int[np.ndarray, "item category"],
    new_sequences: ItemSequences,
    added_tokens: int,
    *,
    max_sequences: int | None = None,
    max_bytes: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
    engine: Engine = IN_THIS_PROCESS,
) -> Vocabulary:
    """Append up to `added_tokens` merge rules learned from `new_sequences`.

    If no pair is left to merge, fewer are added and a warning is logged.

    Args:
        vocabulary: to expand; it stays as it is.
        feature_sets: of all items in the sequences, new ones included, in the vocabulary's categories.
        new_sequences: to learn from, oldest item first; include older ones for rules that suit both.
        added_tokens: number of rules.
        max_sequences: learn from a random sample of this many sequences; None takes all.
        max_bytes: that the arrays of learning may take; None sets no limit. See `learn_within_memory`.
        seed: of the sample.
        progress: over counting and merging.
        engine: see `learn_vocabulary`.

    Raises:
        VocabularySizeError: `added_tokens` is below 1, or token numbers overflow.
        FeatureSetError: ragged, negative or unknown features, or a sequence with an item row that has none.
        EmptyCorpusError: no sequence has an item.
        VocabularyMemoryError: learning takes more than `max_bytes`.
    """
    if added_tokens < 1:
        raise VocabularySizeError(f"added_tokens is {added_tokens}; expected at least 1")
    size = vocabulary.size + added_tokens
    check_size(size, vocabulary.first_merge_token)
    feature_tokens = vocabulary.feature_tokens(feature_sets)
    chosen = sample_sequences(new_sequences, max_sequences, seed)
    grown = learn_more_rules(vocabulary, feature_tokens, chosen, size, max_bytes, progress, engine)
    return dataclasses.replace(grown, expanded_at=(*vocabulary.expanded_at, vocabulary.size))
