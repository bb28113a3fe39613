"""Rank and normalize the candidates of many views' beams at once."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MINUS_INFINITY = float("-inf")


def best_places(
    scores: Float[Tensor, "row place"], count: int
) -> tuple[Int[Tensor, "row chosen"], Float[Tensor, "row chosen"]]:
    """Places of each row's `count` highest scores, ascending, and those scores; ties take the lower place.

    torch.topk leaves ties undefined, and may resolve them differently on another device.
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
    """Lay candidates, in the order of views, out in a table with one row per view, to rank them in one call.

    Returns:
        Scores, minus infinity at unused places, and the candidate at each place.
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
    """Log-sum-exp of the logits of each beam's options; 0 for a beam without options.

    Args:
        child_logits: of the children of all beams, beam by beam; minus infinity if not an option.
        counts: number of children per beam.
        end_logits: minus infinity if the end is not an option.
    """
    counts = counts.long()
    highest = torch.segment_reduce(child_logits, "max", lengths=counts, initial=MINUS_INFINITY, unsafe=True)
    highest = torch.maximum(highest, end_logits)
    highest = torch.where(highest > MINUS_INFINITY, highest, 0.0)
    # Passing the number of children saves waiting for a GPU to count them.
    highest_of_child = torch.repeat_interleave(highest, counts, output_size=len(child_logits))
    exponentials = (child_logits - highest_of_child).exp_()
    sums = torch.segment_reduce(exponentials, "sum", lengths=counts, initial=0.0, unsafe=True)
    sums += (end_logits - highest).exp_()
    # A single option: its logit equals the log-sum to the last bit, and its probability is exactly 1.
    return torch.where(sums > 0, highest + sums.log(), 0.0)
