"""A softmax's log-denominator over a whole vocabulary, in chunks of logits. Start at `log_normalizer`."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_MAX_EXPONENT = 70.0
"""Sums of e to this over a whole vocabulary still fit a float32."""


class AtOnce(NamedTuple):
    """Chunk sizes of one operation; they bound intermediate results."""

    tokens: int
    beams: int
    pairs: int
    """Of a beam and a token, whose rows are copied; a large catalogue has millions."""


AT_ONCE_ON_CPU = AtOnce(tokens=2048, beams=1024, pairs=1 << 15)
"""Fits the cache."""
AT_ONCE_ELSEWHERE = AtOnce(tokens=8192, beams=8192, pairs=1 << 18)
"""Keeps a GPU busy, within about 400 MiB."""


def at_once_on(device: torch.device) -> AtOnce:
    """Chunk sizes for tensors on this device."""
    return AT_ONCE_ON_CPU if device.type == "cpu" else AT_ONCE_ELSEWHERE


def log_normalizer(
    hidden: Float[Tensor, "beam d_model"], rows: Float[Tensor, "token d_model"], max_logit: float
) -> Float[Tensor, "beam"]:
    """Log-sum-exp of the logits over all tokens, float32.

    Args:
        hidden: of the same type as `rows`.
        rows: the output matrix.
        max_logit: an upper bound of all logits.
    """
    sum_up = sum_of_exponentials if max_logit < _MAX_EXPONENT else log_sum_of_exponentials
    at_once = at_once_on(hidden.device)
    return torch.cat([sum_up(beams, rows, at_once.tokens) for beams in torch.split(hidden, at_once.beams)])


def sum_of_exponentials(
    hidden: Float[Tensor, "beam d_model"], rows: Float[Tensor, "token d_model"], num_at_once: int
) -> Float[Tensor, "beam"]:
    """Log-sum-exp over tokens, for logits that are known to be small."""
    logits = hidden.new_empty(len(hidden) * num_at_once)
    total = torch.zeros(len(hidden), device=hidden.device)
    for chunk in torch.split(rows, num_at_once):
        part = torch.mm(hidden, chunk.T, out=logits[: len(hidden) * len(chunk)].view(len(hidden), -1))
        total += part.float().exp_().sum(dim=-1)
    return total.log_()


def log_sum_of_exponentials(
    hidden: Float[Tensor, "beam d_model"], rows: Float[Tensor, "token d_model"], num_at_once: int
) -> Float[Tensor, "beam"]:
    """Log-sum-exp over tokens for logits of any size; a sixth slower."""
    parts = [torch.logsumexp((hidden @ chunk.T).float(), dim=-1) for chunk in torch.split(rows, num_at_once)]
    return torch.logsumexp(torch.stack(parts), dim=0)
