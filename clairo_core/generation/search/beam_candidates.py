"""What the beams of many views may go on to, ranked and summed up for all of them at once.

Knows scores, views and places; knows nothing of tries, tokens or items.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MINUS_INFINITY = float("-inf")


def best_places(
    scores: Float[Tensor, "row place"], count: int
) -> tuple[Int[Tensor, "row chosen"], Float[Tensor, "row chosen"]]:
    """The places of each row's `count` highest scores, in rising order of place; ties take the lower place.

    torch.topk leaves open which of equal scores it takes, and may take others on another device.
    """
    if scores.shape[1] <= count:
        places = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape)
        return places, scores
    last = scores.topk(count, dim=1).values[:, -1:]
    is_above = scores > last
    num_above = is_above.sum(dim=1, keepdim=True)
    is_tied = scores == last
    is_chosen = is_above | (is_tied & (is_tied.cumsum(dim=1) <= count - num_above))
    places = is_chosen.nonzero()[:, 1].view(-1, count)
    return places, scores.gather(1, places)


def side_by_side(
    scores: Float[Tensor, "candidate"], views: Int[Tensor, "candidate"], num_views: int
) -> tuple[Float[Tensor, "view column"], Int[Tensor, "view column"]]:
    """Candidates, in the order of views, in a table with a row a view, so that one call ranks them all.

    Returns:
        Scores, minus infinity where a view has fewer candidates than others, and the candidate at each place.
    """
    counts = torch.bincount(views, minlength=num_views)
    columns = torch.arange(len(views), device=views.device) - (counts.cumsum(0) - counts)[views]
    table = torch.full((num_views, int(counts.max())), MINUS_INFINITY, device=views.device)
    table[views, columns] = scores
    candidates = torch.zeros(table.shape, dtype=torch.long, device=views.device)
    candidates[views, columns] = torch.arange(len(views), device=views.device)
    return table, candidates


def log_sum_over_options(
    child_logits: Float[Tensor, "child"], counts: Int[Tensor, "beam"], end_logits: Float[Tensor, "beam"]
) -> Float[Tensor, "beam"]:
    """Log of the sum of e to the logits of each beam's options; 0 for a beam without one.

    Args:
        child_logits: of the children of all beams, one beam's after another's; minus infinity where it is no option.
        counts: how many children each beam has.
        end_logits: minus infinity where the end is no option.
    """
    counts = counts.long()
    highest = torch.segment_reduce(child_logits, "max", lengths=counts, initial=MINUS_INFINITY, unsafe=True)
    highest = torch.maximum(highest, end_logits)
    highest = torch.where(highest > MINUS_INFINITY, highest, 0.0)
    # The number of children is said, since a GPU would have to be waited for to find it.
    highest_of_child = torch.repeat_interleave(highest, counts, output_size=len(child_logits))
    exponentials = (child_logits - highest_of_child).exp_()
    sums = torch.segment_reduce(exponentials, "sum", lengths=counts, initial=0.0, unsafe=True)
    sums += (end_logits - highest).exp_()
    # One option: its logit is the sum's logarithm to the last bit, and its probability exactly 1.
    return torch.where(sums > 0, highest + sums.log(), 0.0)
