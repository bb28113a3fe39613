"""Train the network that predicts all codes of the next item at once. Start at `fit_parallel`.

The task is that of RPG (Hou et al. 2025): from a history to each code of the next item, at every position of a window.
We differ: the loss may also ask for the item itself among all others.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64
from torch import Tensor
from torch.nn import functional

from clairo_core.generation.parallel.id_graph import code_similarity, fit_links
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.generation.parallel.parallel_checkpoint import load_network, save_network
from clairo_core.generation.parallel.parallel_generator import code_rows
from clairo_core.progress import Progress
from clairo_core.ranking.history_encoder import NormalizedTransformerHistoryEncoder, RecurrentHistoryEncoder
from clairo_core.sequences import ItemSequences
from training.config.preset import GRAPH, RECURRENT, TRANSFORMER, ParallelSettings
from training.engines.processes import ALONE, Processes
from training.generator.fit_generator import Validate, learning_rate_share
from training.losses.weighted_mean import weighted_mean
from training.workbench.checkpoints import FitProgress
from training.workbench.fit_epochs import FitLimits, epoch_seed, fit_epochs
from training.workbench.next_item_windows import NOTHING, NextItemBatch, WindowEpochs

STATES_SCORED, ITEMS_SCORED = 200, 10_000
"""Per batch: the loss over items takes a random sample of states, and of items."""
READERS = {RECURRENT: RecurrentHistoryEncoder.kind, TRANSFORMER: NormalizedTransformerHistoryEncoder.kind}


class NextItemLoss:
    """The weighted mean over targets of two losses, in nats.

    The first is RPG's: minus the log-probability of a code of the target, mean over codebooks, as if codes were
    independent given the history. The second is our own: minus the log-probability of the target among all items. It
    learns what the codes mean together, and the scale that makes their sum a probability. It may be left out.
    """

    def __init__(
        self, codes: Int32[Tensor, "item codebook"], is_trained: Bool[Tensor, "item"], *, asks_for_items: bool = True
    ) -> None:
        """Items that training never saw are no alternatives: they would only learn to be unlikely."""
        self.codes = codes
        self.asks_for_items = asks_for_items
        self.trained_rows = torch.nonzero(is_trained).flatten()

    def __call__(self, network: ParallelNetwork, batch: NextItemBatch) -> Float[Tensor, ""]:
        """The loss of one batch."""
        is_target = batch.targets != NOTHING
        # Padding takes item 0. It stands behind all items, so no state depends on it.
        logits = network.code_logits(network(self.codes[batch.inputs])[is_target])
        targets = batch.targets[is_target]
        weights = None if batch.weights is None else batch.weights[is_target]
        if not self.asks_for_items:
            return self.codes_loss(logits, targets, weights)
        sample = torch.randperm(len(targets), device=targets.device)[:STATES_SCORED]
        of_sample = None if weights is None else weights[sample]
        return self.codes_loss(logits, targets, weights) + self.items_loss(
            network, logits[:, sample], targets[sample], of_sample
        )

    def codes_loss(
        self,
        logits: Float[Tensor, "codebook state centroid"],
        targets: Int64[Tensor, "state"],
        weights: Float32[Tensor, "state"] | None = None,
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the targets' codes, each within its codebook."""
        wanted = self.codes[targets].long().T % logits.shape[2]
        if weights is None:
            return functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        losses = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
        return weighted_mean(losses.view(len(logits), -1).mean(dim=0), weights)

    def items_loss(
        self,
        network: ParallelNetwork,
        logits: Float[Tensor, "codebook state centroid"],
        targets: Int64[Tensor, "state"],
        weights: Float32[Tensor, "state"] | None = None,
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the targets among the other trained items, or a sample that stands for them."""
        others = self.trained_rows
        if len(others) > ITEMS_SCORED:
            others = others[torch.randint(len(others), (ITEMS_SCORED,), device=others.device)]
        scores = network.item_scores(logits, self.codes[others])
        scores = scores.masked_fill(others[:, None] == targets, -torch.inf) + math.log(
            len(self.trained_rows) / len(others)
        )
        of_targets = network.item_scores(logits, self.codes[targets]).diagonal()
        return weighted_mean(torch.logaddexp(scores.logsumexp(dim=0), of_targets) - of_targets, weights)


def fit_parallel(
    folder: Path,
    training: ItemSequences,
    semantic_ids: Int32[np.ndarray, "item codebook"],
    num_centroids: int,
    settings: ParallelSettings,
    *,
    start_from: ParallelNetwork | None = None,
    device: torch.device,
    seed: int,
    validate: Validate | None,
    progress: Progress[Any],
    report: Callable[[str], None],
    processes: Processes = ALONE,
) -> FitProgress:
    """Train in `folder`, resuming from the checkpoint there. The best epoch ends up in `folder/generator`.

    Without `validate`, the last epoch is the best. Epochs are validated by the exact search; a graph has the links of
    the best one.

    Args:
        folder: for checkpoints and the result.
        training: sequences of items.
        semantic_ids: every item's codes, without a collision index.
        num_centroids: of the largest codebook.
        settings: sizes and schedule.
        start_from: weights to begin with, of the same sizes; random ones without.
        device: to train on.
        seed: of weights, order and dropout.
        validate: a checkpoint's validation NDCG@10.
        progress: over batches, then over the links of a graph.
        report: receives a line after every epoch.
        processes: as in `fit_epochs`.

    Raises:
        TrainingError: no sequence has two items, or the loss diverges.
    """
    windows = WindowEpochs(
        training,
        max_inputs=settings.max_history_items,
        max_user_examples=settings.max_user_examples,
        examples_per_epoch=settings.examples_per_epoch,
    )
    sizes = NetworkSizes(
        num_codebooks=semantic_ids.shape[1],
        num_centroids=num_centroids,
        width=settings.width,
        max_history_items=settings.max_history_items,
        reader=READERS[settings.encoder],
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
    )
    torch.manual_seed(seed)
    network = ParallelNetwork(sizes, dropout_rate=settings.dropout_rate).to(device)
    if start_from is not None:
        network.load_state_dict(start_from.state_dict())
    # Only the loss over items moves it.
    network.log_scale.requires_grad_(settings.items_loss)
    is_trained = np.zeros(len(semantic_ids), dtype=np.bool_)
    is_trained[training.items] = True
    item_codes = code_rows(semantic_ids, sizes)
    next_item_loss = NextItemLoss(
        torch.from_numpy(item_codes).to(device),
        torch.from_numpy(is_trained).to(device),
        asks_for_items=settings.items_loss,
    )

    def learning_rate(epochs_done: float) -> float:
        # In thousandths of an epoch.
        step, num_steps = round(1000 * epochs_done), 1000 * settings.max_epochs
        return settings.learning_rate * learning_rate_share(step, num_steps, settings.warmup_share)

    def save(checkpoint: Path) -> None:
        save_network(network, checkpoint)

    def validate_as_served(checkpoint: Path, validate: Validate) -> float:
        save(checkpoint)
        return validate(checkpoint)

    def report_epoch(done: FitProgress, step_seconds: float) -> None:
        drawn = windows.drawn(epoch_seed(seed, done.epochs_done))
        rate = int((drawn[:, 1] - drawn[:, 0] - 1).sum()) / step_seconds
        report(f"epoch {done.epochs_done}: loss {done.losses[-1]:.3f}, {done.last_validation}, {rate:.0f} examples/s")

    done = fit_epochs(
        folder,
        network,
        torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay),
        FitLimits(settings.max_epochs, settings.patience),
        label="generator",
        best="generator",
        seed=seed,
        batches=lambda epoch: windows.batches(epoch_seed(seed, epoch), settings.positions_per_batch),
        loss_of=lambda batch: next_item_loss(network, batch.to(device)),
        learning_rate=learning_rate,
        learning_rate_setting="parallel.learning_rate",
        validate=None if validate is None else partial(validate_as_served, validate=validate),
        # With validation, each epoch is saved for it already.
        save=save if validate is None else lambda checkpoint: None,
        max_gradient_norm=1.0,
        processes=processes,
        progress=progress,
        report=report_epoch,
    )
    if settings.search == GRAPH and processes.is_first:
        best = load_network(folder / "generator")
        similarity = code_similarity(best.vectors_by_codebook)
        links = fit_links(item_codes, similarity, settings.graph_degree, settings.graph_steps, progress)
        save_network(best, folder / "generator", links)
    return done
