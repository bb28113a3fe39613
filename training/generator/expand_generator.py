"""Add embedding rows to a trained generator for the tokens of an expanded vocabulary. Start at `expand_generator`."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from clairo_core.errors import GeneratorError
from clairo_core.tokens.vocabulary import Vocabulary
from training.generator.content_t5 import load_t5


def expand_generator(checkpoint: Path, out: Path, vocabulary: Vocabulary) -> None:
    """Write the checkpoint to `out` with a row for every token of the expanded vocabulary. Old rows stay as they are.

    A new token starts from its two parts, so histories mean at first what they meant before.

    Raises:
        GeneratorError: the checkpoint's number of tokens is not that of an earlier state of the vocabulary.
    """
    model = load_t5(checkpoint)
    old = model.shared.weight.detach()
    if len(old) > vocabulary.size or len(old) < vocabulary.first_merge_token:
        raise GeneratorError(
            f"{checkpoint} has {len(old)} tokens, expected {vocabulary.first_merge_token} to {vocabulary.size}; "
            "expand the vocabulary that the checkpoint was trained with"
        )
    model.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    with torch.no_grad():
        model.shared.weight.copy_(expanded_embeddings(old, vocabulary))
    model.save_pretrained(out)


def expanded_embeddings(old: Float[Tensor, "old d_model"], vocabulary: Vocabulary) -> Float[Tensor, "token d_model"]:
    """The old rows, and for each later token the sum of its parts.

    As in `start_embeddings`, a token of n features is about as long as one feature: each part weighs the square root of
    its number of features.
    """
    embeddings = torch.empty(vocabulary.size, old.shape[1], dtype=old.dtype)
    embeddings[: len(old)] = old
    roots = torch.from_numpy(vocabulary.feature_counts).to(old.dtype).sqrt()
    for token in range(len(old), vocabulary.size):
        rule = vocabulary.rule_of(token)
        parts = embeddings[rule.left] * roots[rule.left] + embeddings[rule.right] * roots[rule.right]
        embeddings[token] = parts / roots[token]
    return embeddings
