"""What else an RQ-VAE can learn: codes that follow behaviour, and codes that are used evenly.

Source: Wang et al. 2024, "Learnable Item Tokenization for Generative Recommendation" (LETTER), equations 3 and 4. We
differ: collaborative vectors are those of alignment (pointwise mutual information) instead of SASRec's or LightGCN's,
compared by cosine.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from training.losses.weighted_mean import mean_cross_entropy

_TEMPERATURE = 0.1


def collaborative_loss(
    quantized: Float[Tensor, "row latent"], behaviour: Float[Tensor, "row latent"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy of finding each row's behaviour vector by its quantized vector among all rows'.

    Rows of zeros have no behaviour and take no part; without two others, the loss is 0.
    """
    has_behaviour = behaviour.abs().amax(dim=1) > 0
    if int(has_behaviour.sum()) < 2:
        return quantized.new_zeros(())
    ours, theirs = quantized[has_behaviour], behaviour[has_behaviour]
    similarities = nn.functional.normalize(ours, dim=1) @ nn.functional.normalize(theirs, dim=1).T / _TEMPERATURE
    return mean_cross_entropy(similarities, torch.arange(len(ours), device=ours.device), None)


def diversity_loss(
    centroids: Float[Tensor, "centroid latent"],
    codes: Int[Tensor, "row"],
    groups: Int[Tensor, "centroid"],
    random: torch.Generator,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of finding, by each row's code, another code of its group among all others.

    Equal groups keep all codes in regions of equal number, so none is left where no item is. The groups have equal
    size, the other code is drawn by `random`.
    """
    other = _another_of_the_group(groups.cpu(), random).to(codes.device)
    has_other = other[codes] >= 0
    used = codes[has_other]
    if len(used) == 0:
        return centroids.new_zeros(())
    similarities = (centroids[used] @ centroids.T).scatter(1, used[:, None], -torch.inf)
    return mean_cross_entropy(similarities, other[used], None)


def _another_of_the_group(groups: Int[Tensor, "centroid"], random: torch.Generator) -> Int[Tensor, "centroid"]:
    """For each code another one of its group, drawn; -1 if it is alone."""
    shuffled = torch.randperm(len(groups), generator=random)
    by_group = shuffled[torch.argsort(groups[shuffled], stable=True)]
    other = torch.full_like(groups, -1)
    # Within a group, in random order, each code takes the next one and the last takes the first.
    for group in torch.unique(groups):
        members = by_group[groups[by_group] == group]
        if len(members) > 1:
            other[members] = members.roll(-1)
    return other
