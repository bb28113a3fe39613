"""Initialize the generator's token embeddings: a feature at its centroid, a merged token at the sum of its features.

Published models start tokens at random and must learn from sequences alone which codes are close. The codebooks hold
these distances already. Start at `start_embeddings`.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from clairo_core.tokens.vocabulary import Vocabulary

OWN_SHARE = 0.1
"""Weight of a token's random part, so that tokens of one centroid can diverge."""


def start_embeddings(
    random_start: Float[Tensor, "token d_model"],
    vocabulary: Vocabulary,
    vectors: Float32[np.ndarray, "feature dim"] | None,
) -> Float[Tensor, "token d_model"]:
    """Initial embeddings of all tokens, at the scale of `random_start`.

    Args:
        random_start: T5's own, of variance 1.
        vocabulary: its first features are those of `vectors`; the others, such as the collision index, stay random.
        vectors: of the first features, such as `Quantizer.start_vectors`; projected at random if they have more
            columns than the model. None leaves all features random.
    """
    embeddings, d_model = random_start.clone(), random_start.shape[1]
    if vectors is not None and len(vectors):
        given = torch.from_numpy(vectors)
        dim = given.shape[1]
        if dim > d_model:
            # Drawn from torch's global random state, like the rest of the model.
            given = given @ torch.linalg.qr(torch.randn(dim, d_model)).Q
        given = torch.nn.functional.pad(given, (0, max(0, d_model - dim)))
        mean_square = float(given.square().sum(dim=1).mean())
        if mean_square > 0:
            first = int(vocabulary.category_offsets[0])
            rows = slice(first, first + len(given))
            embeddings[rows] = OWN_SHARE * embeddings[rows] + given * (d_model / mean_square) ** 0.5
    offsets = vocabulary.category_offsets
    for token in range(vocabulary.first_merge_token, vocabulary.size):
        parts = [int(offsets[category]) + value for category, value in vocabulary.features_of(token)]
        embeddings[token] = OWN_SHARE * embeddings[token] + embeddings[parts].sum(dim=0) / len(parts) ** 0.5
    return embeddings
