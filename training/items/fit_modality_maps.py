"""Learn a matrix per modality that brings an item's modalities together: contrastive alignment before fusion.

Start at `fit_modality_maps`.

Source: CLIP's loss between every two modalities of an item, as in MQL4GRec and ImageBind. We differ: linear maps that
start at each modality's principal components. Alignment weakens what only one modality holds. Whether it helps depends
on the data, so it is off by default.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor, nn

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.fusion.principal_components import principal_projection
from training.items.contrast import fit_contrast


def fit_modality_maps(
    embeddings: Mapping[str, ModalityEmbeddings], dim: int, seed: int
) -> tuple[dict[str, Float64[np.ndarray, "embedding dim"]], float]:
    """Fit a matrix for each modality's centred embeddings. Also returns the relative decrease of the held-out loss.

    `embeddings` are of training items. Maps are learned on items with two modalities or more; without any, they are the
    principal components.
    """
    centred, starts = {}, {}
    for modality, given in embeddings.items():
        mean = given.vectors[given.is_present].mean(axis=0)
        centred[modality] = np.where(given.is_present[:, None], given.vectors - mean, 0).astype(np.float64)
        starts[modality] = principal_projection(centred[modality][given.is_present], dim, seed).astype(np.float64)
    names = list(embeddings)
    # The fixed projection is applied first: learned matrices stay small for encoders of any length.
    reduced = torch.stack([torch.from_numpy((centred[name] @ starts[name]).astype(np.float32)) for name in names])
    learned = nn.ParameterList([nn.Parameter(torch.eye(dim)) for _ in names])
    pairs = []
    for (first, one), (second, other) in combinations(enumerate(names), 2):
        both = np.flatnonzero(embeddings[one].is_present & embeddings[other].is_present)
        # A row of `places` is an item in a modality.
        pairs.append(np.stack([both + first * reduced.shape[1], both + second * reduced.shape[1]], axis=1))
    gain = 0.0
    if pairs and sum(map(len, pairs)):
        places = torch.from_numpy(np.concatenate(pairs).astype(np.int64))
        gain = fit_contrast(
            learned,
            lambda left, right: (_mapped(reduced, learned, left), _mapped(reduced, learned, right)),
            places,
            seed=seed,
            learning_rate=1e-2,
        )
    maps = {
        name: starts[name] @ matrix.detach().numpy().astype(np.float64)
        for name, matrix in zip(names, learned, strict=True)
    }
    return maps, gain


def _mapped(reduced: Tensor, matrices: nn.ParameterList, places: Int[Tensor, "pair"]) -> Tensor:
    """The embeddings at these places, each times its modality's matrix."""
    modality, item = places // reduced.shape[1], places % reduced.shape[1]
    stacked = torch.stack(list(matrices))
    return torch.einsum("pd,pde->pe", reduced[modality, item], stacked[modality])
