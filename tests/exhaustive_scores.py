"""Score every item of a catalogue exactly, token by token: the oracle for beam search.

Independent of tries and beams. It takes one decoder row per item and view, so it suits small catalogues only.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from clairo_core.generation.t5.generator import Generator
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.tokens.tokenizer import TokenBatch
from clairo_core.tokens.vocabulary import EOS, PAD


def score_all_items(
    generator: Generator,
    canonical: TokenBatch,
    views: TokenBatch,
    is_retired: Bool[np.ndarray, "item"] | None = None,
) -> Float32[np.ndarray, "view item"]:
    """Every item's log-probability for every view; minus infinity for retired items.

    The softmax is the generator's: over the vocabulary, or over the tokens that lead to an item that is not retired.
    """
    num_items, width = canonical.ids.shape
    live = np.arange(num_items) if is_retired is None else np.flatnonzero(~is_retired)
    all_scores = np.full((len(views.ids), num_items), -np.inf, dtype=np.float32)
    if not len(live):
        return all_scores
    tokens = np.full((len(live), width + 1), PAD, dtype=np.int64)
    tokens[:, :-1] = canonical.ids[live]
    tokens[np.arange(len(live)), canonical.lengths[live]] = EOS
    is_token = np.arange(width + 1) <= canonical.lengths[live, None]
    with torch.inference_mode():
        device = generator.device
        encoded = generator.encode(torch.from_numpy(views.ids).to(device), torch.from_numpy(views.lengths).to(device))
        targets = torch.from_numpy(tokens).to(device).expand(len(views.ids), -1, -1)
        beams = torch.arange(targets[:, :, 0].numel(), device=device)
        scores = torch.zeros(targets.shape[:2], device=device)
        cache, previous = generator.start(), torch.full_like(targets[:, :, 0], PAD)
        for position in range(width + 1):
            hidden, cache = generator.step(previous, encoded, cache)
            target = targets[:, :, position]
            logits = generator.logits_of_pairs(hidden.flatten(0, 1), beams, target.flatten()).view(scores.shape)
            if generator.config.softmax is Softmax.REACHABLE:
                normalizer = log_sum_over_followers(logits, tokens[:, :position], tokens[:, position])
            else:
                normalizer = generator.log_normalizer(hidden)
            scores = scores + torch.where(torch.from_numpy(is_token[:, position]).to(device), logits - normalizer, 0.0)
            previous = target
        all_scores[:, live] = scores.cpu().numpy()
    return all_scores


def log_sum_over_followers(
    logits: Float[Tensor, "view item"],
    prefixes: Int64[np.ndarray, "item position"],
    followers: Int64[np.ndarray, "item"],
) -> Float[Tensor, "view item"]:
    """For each item, the log-sum-exp of the logits of the distinct tokens that follow its prefix."""
    prefix_of_item = np.unique(prefixes, axis=0, return_inverse=True)[1].reshape(-1)
    pairs = np.stack([prefix_of_item, followers], axis=1)
    distinct, one_of_each = np.unique(pairs, axis=0, return_index=True)
    sums = torch.zeros(len(logits), len(pairs), dtype=torch.float64, device=logits.device)
    # One view's logits are close enough for float64 without a maximum per prefix.
    highest = logits.double().amax(dim=1, keepdim=True)
    exponentials = (logits[:, torch.from_numpy(one_of_each).to(logits.device)].double() - highest).exp()
    sums.index_add_(1, torch.from_numpy(distinct[:, 0]).to(logits.device), exponentials)
    return (sums[:, torch.from_numpy(prefix_of_item).to(logits.device)].log() + highest).float()
