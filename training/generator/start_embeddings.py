"""Where the generator's token embeddings start: a feature at its centroid, a merged token at the sum of its features.

Knows codebooks and vocabularies; knows nothing of the rest of the T5. Start at `start_embeddings`.

Published models start tokens at random, and must learn which codes are near one another from sequences alone. The
codebooks know it already.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from clairo_core.quantizers import OpqQuantizer
from clairo_core.tokens.vocabulary import Vocabulary

OWN_SHARE = 0.1
"""Of a token's own random start, beside what it is made of: two tokens of one centroid can still part."""


def centroid_vectors(quantizer: OpqQuantizer) -> Float32[np.ndarray, "feature dim"]:
    """Every centroid of every codebook as what it adds to a rotated item embedding: zeros outside its own part."""
    num_codebooks, num_centroids, subdim = quantizer.codebooks.shape
    vectors = np.zeros((num_codebooks, num_centroids, num_codebooks, subdim), np.float32)
    for codebook in range(num_codebooks):
        vectors[codebook, :, codebook] = quantizer.codebooks[codebook]
    return vectors.reshape(num_codebooks * num_centroids, quantizer.dim)


def start_embeddings(
    random_start: Float[Tensor, "token d_model"],
    vocabulary: Vocabulary,
    vectors: Float32[np.ndarray, "feature dim"] | None,
) -> Float[Tensor, "token d_model"]:
    """The first embeddings of all tokens, at the scale of `random_start`.

    Args:
        random_start: T5's own, of variance 1.
        vocabulary: whose first features `vectors` describes; the others, such as the collision index, stay random.
        vectors: of the first features; with more columns than the model, a random projection of them; without it,
            features stay random.
    """
    embeddings, d_model = random_start.clone(), random_start.shape[1]
    if vectors is not None and len(vectors):
        given = torch.from_numpy(vectors)
        dim = given.shape[1]
        if dim > d_model:
            # Drawn by torch's generator, as the rest of the model.
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
