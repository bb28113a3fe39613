"""Train a small network to bring paired rows together, and keep its best epoch. Start at `fit_contrast`.

Source: InfoNCE (van den Oord et al. 2018), both ways as in CLIP. Equal rows of a batch are not negatives.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from training.losses.weighted_mean import mean_cross_entropy

BATCH_SIZE = 256
NUM_EPOCHS = 12
MIN_STEPS = 150
"""Small data get more epochs."""
MAX_PAIRS_PER_EPOCH = 50_000
HELD_OUT_SHARE, MAX_HELD_OUT = 0.1, 2_000
_TEMPERATURE = 0.1

Embed = Callable[[Int[Tensor, "pair"], Int[Tensor, "pair"]], tuple[Tensor, Tensor]]
"""Rows of both sides -> their embeddings. Those of a pair should be close."""


def symmetric_loss(
    left: Float[Tensor, "pair dim"],
    right: Float[Tensor, "pair dim"],
    left_rows: Int[Tensor, "pair"],
    right_rows: Int[Tensor, "pair"],
    weights: Float[Tensor, "pair"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy, by weight, of finding each right by its left among all rights, and the reverse."""
    similarities = nn.functional.normalize(left, dim=1) @ nn.functional.normalize(right, dim=1).T / _TEMPERATURE
    own = torch.arange(len(left), device=left.device)
    is_other = own[:, None] != own
    same_right = (right_rows[:, None] == right_rows) & is_other
    same_left = (left_rows[:, None] == left_rows) & is_other
    forward = mean_cross_entropy(similarities.masked_fill(same_right, -1e4), own, weights)
    backward = mean_cross_entropy(similarities.T.masked_fill(same_left, -1e4), own, weights)
    return (forward + backward) / 2


def fit_contrast(
    network: nn.Module,
    embed: Embed,
    pairs: Int[Tensor, "pair 2"],
    weights: Float[Tensor, "pair"] | None = None,
    *,
    seed: int,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.01,
) -> float:
    """Train `network` in place and restore its best epoch, which may be the start.

    Args:
        network: whose parameters are trained.
        embed: uses the network, perhaps differently for each side.
        pairs: rows that belong together.
        weights: of the pairs in the loss; None: all are alike.
        seed: of order and dropout.
        learning_rate: of AdamW.
        weight_decay: of AdamW.

    Returns:
        The relative decrease of the loss on held-out pairs.
    """
    random = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    shuffled = torch.randperm(len(pairs), generator=random)
    num_held_out = min(MAX_HELD_OUT, round(HELD_OUT_SHARE * len(pairs)))
    held_out, learned = shuffled[:num_held_out], shuffled[num_held_out:]
    if num_held_out < 2 or len(learned) < 2:
        return 0.0

    def loss_of(chosen: Int[Tensor, "chosen"]) -> Float[Tensor, ""]:
        left_rows, right_rows = pairs[chosen, 0], pairs[chosen, 1]
        left, right = embed(left_rows, right_rows)
        return symmetric_loss(left, right, left_rows, right_rows, None if weights is None else weights[chosen])

    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)

    def held_out_loss() -> float:
        network.eval()
        with torch.no_grad():
            losses = [loss_of(batch) for batch in held_out.split(BATCH_SIZE) if len(batch) > 1]  # type: ignore[no-untyped-call]
        return float(torch.stack(losses).mean())

    first = best = held_out_loss()
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    steps_per_epoch = -(-min(len(learned), MAX_PAIRS_PER_EPOCH) // BATCH_SIZE)
    for _ in range(max(NUM_EPOCHS, -(-MIN_STEPS // steps_per_epoch))):
        network.train()
        order = torch.randperm(len(learned), generator=random)[:MAX_PAIRS_PER_EPOCH]
        for rows in order.split(BATCH_SIZE):  # type: ignore[no-untyped-call]
            if len(rows) < 2:
                continue
            loss = loss_of(learned[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        found = held_out_loss()
        if found < best:
            best = found
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(kept)
    network.eval()
    return (first - best) / first if first > 0 else 0.0
