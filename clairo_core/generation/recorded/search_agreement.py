"""Check that a faster search agrees with the plain one: test batches, and a tolerance for equal answers."""

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from clairo_core.tokens.tokenizer import TokenBatch
from clairo_core.tokens.vocabulary import EOS, PAD

Fused = list[tuple[Int64[np.ndarray, "item"], Float64[np.ndarray, "item"]]]
"""Each request's items, best first, and their scores."""

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.25}
"""Of a log-probability: more than another order of summation changes."""
_NUM_COMPARED = 10
_SHARE_TO_AGREE = 0.9
_SHARE_ALLOWED = 0.9


def made_batch(
    num_views: int, num_requests: int, max_length: int, vocab_size: int, num_items: int, seed: int
) -> tuple[TokenBatch, Bool[np.ndarray, "request item"]]:
    """Draw views of random tokens, the first of `max_length`, and the items that each request allows (most)."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, max_length + 1, size=num_views).astype(np.int32)
    lengths[0] = max_length
    ids = random.integers(EOS + 1, vocab_size, size=(num_views, max_length), dtype=np.int32)
    ids[np.arange(num_views), lengths - 1] = EOS
    ids[np.arange(max_length) >= lengths[:, None]] = PAD
    return TokenBatch(ids, lengths), random.random((num_requests, num_items)) < _SHARE_ALLOWED


def agrees(expected: Fused, found: Fused, is_allowed: Bool[np.ndarray, "request item"], tolerance: float) -> bool:
    """Whether both searches give the same answers.

    Every item must be allowed and occur once, and scores must not rise. At least nine in ten of the first ten items
    must be found with the same score: rounding decides between beams that are equal to the last bits, and neither
    answer is wrong. A faulty search finds almost none.
    """
    if len(expected) != len(found):
        return False
    num_compared = num_same = 0
    for (rows, scores), (found_rows, found_scores), allowed in zip(expected, found, is_allowed, strict=True):
        if len(set(found_rows.tolist())) < len(found_rows) or not allowed[found_rows].all():
            return False
        if not (np.diff(found_scores) <= 0).all() or bool(len(rows)) != bool(len(found_rows)):
            return False
        score_of = dict(zip(found_rows.tolist(), found_scores.tolist(), strict=True))
        for row, score in zip(rows[:_NUM_COMPARED].tolist(), scores[:_NUM_COMPARED].tolist(), strict=True):
            num_compared += 1
            num_same += abs(score_of.get(row, np.inf) - score) <= tolerance
    return num_same >= _SHARE_TO_AGREE * num_compared
