"""Give a trained generator rows for the tokens that an expansion added to its vocabulary.

Knows checkpoints and merge rules; knows nothing of how either was learned. Start at `expand_generator`.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import T5ForConditionalGeneration

from clairo_core.errors import GeneratorError
from clairo_core.tokens.vocabulary import Vocabulary


def expand_generator(checkpoint: Path, out: Path, vocabulary: Vocabulary) -> None:
    """Write the checkpoint anew with a row for every token of the expanded vocabulary; the old rows stay as they are.

    A new token starts from its two parts, so that a history says to the generator what it said before; training on
    from there is what makes it better.

    Raises:
        GeneratorError: the checkpoint has more tokens than the vocabulary, so it is not one of an earlier state of it.
    """
    model = T5ForConditionalGeneration.from_pretrained(checkpoint, local_files_only=True)
    old = model.shared.weight.detach()
    if len(old) > vocabulary.size or len(old) < vocabulary.first_merge_token:
        raise GeneratorError(
            f"{checkpoint} has {len(old)} tokens, the vocabulary {vocabulary.size} of which "
            f"{vocabulary.first_merge_token} are no merges; expand the vocabulary that the checkpoint was trained with"
        )
    model.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    with torch.no_grad():
        model.shared.weight.copy_(expanded_embeddings(old, vocabulary))
    model.save_pretrained(out)


def expanded_embeddings(old: Float[Tensor, "old d_model"], vocabulary: Vocabulary) -> Float[Tensor, "token d_model"]:
    """The old rows, and for each later token what its parts make.

    A token of n features is about as long as one of them, as `start_embeddings` makes them: parts count by the root
    of how many features they have.
    """
    embeddings = torch.empty(vocabulary.size, old.shape[1], dtype=old.dtype)
    embeddings[: len(old)] = old
    roots = torch.from_numpy(vocabulary.feature_counts).to(old.dtype).sqrt()
    for token in range(len(old), vocabulary.size):
        rule = vocabulary.rule_of(token)
        parts = embeddings[rule.left] * roots[rule.left] + embeddings[rule.right] * roots[rule.right]
        embeddings[token] = parts / roots[token]
    return embeddings
