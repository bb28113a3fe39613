"""T5's attention bias by the distance of two positions, tabulated for all distances that it distinguishes.

As in Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", section
2.1, and in transformers' T5.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clairo_core.generation.t5.generator_checkpoint import GeneratorConfig


def bias_by_distance(
    config: GeneratorConfig, bias: Float[Tensor, "bucket head"], is_bidirectional: bool
) -> Float[Tensor, "head distance"]:
    """Tabulate T5's attention bias for every distance that it distinguishes.

    Bidirectional: key minus query position, from -max to max distance. Else: query minus key position, from 0 to max.
    """
    reach, num_buckets = config.relative_attention_max_distance, config.relative_attention_num_buckets
    if is_bidirectional:
        ahead = torch.arange(-reach, reach + 1, device=bias.device)
        half = num_buckets // 2
        buckets = distance_buckets(ahead.abs(), half, reach) + half * (ahead > 0)
    else:
        buckets = distance_buckets(torch.arange(reach + 1, device=bias.device), num_buckets, reach)
    return bias[buckets].T.contiguous()


def distance_buckets(
    distances: Int[Tensor, "distance"], num_buckets: int, max_distance: int
) -> Int[Tensor, "distance"]:
    """One bucket for each small distance, then logarithmically wider ones, as T5 numbers them.

    >>> distance_buckets(torch.tensor([0, 1, 7, 8, 16, 127, 128]), 16, 128).tolist()
    [0, 1, 7, 8, 10, 15, 15]
    """
    num_exact = num_buckets // 2
    logarithms = torch.log(distances.clamp(min=1).float() / num_exact)
    scale = torch.log(torch.tensor(max_distance / num_exact))
    wider = num_exact + (logarithms / scale * (num_buckets - num_exact)).long()
    return torch.where(distances < num_exact, distances, wider.clamp(max=num_buckets - 1))
