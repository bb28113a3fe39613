"""Train the dense head: from every position of a history to the next item, among all items at once.

Start at `fit_dense_head`.

GRU4Rec (Hidasi et al. 2016) or SASRec (Kang & McAuley 2018) with a softmax over the whole catalogue, as in Klenitskiy &
Vasilev 2023, "Turning Dross into Gold Loss". We differ: an item's vector is its content through a matrix plus a part
of its own that is dropped at random. In a large catalogue, the softmax is over drawn items (`drawn_items`), and a step
costs what it reads.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import nn

from clairo_core.progress import Progress
from clairo_core.ranking import DenseHead, DenseHeads
from clairo_core.ranking.history_encoder import HistoryEncoder, RecurrentHistoryEncoder, TransformerHistoryEncoder
from clairo_core.sequences import ItemSequences
from clairo_core.storage.growing_rows import GrowingRows
from training.config.preset import RECURRENT, DenseSettings
from training.engines.processes import ALONE, Processes
from training.evaluation.metrics import ndcg_at, ranks_by_scores
from training.evaluation.split import EvaluationSplit
from training.losses.full_softmax_loss import full_softmax_loss
from training.losses.sampled_softmax_loss import sampled_softmax_loss
from training.losses.weighted_mean import mean_cross_entropy
from training.ranking.drawn_items import ItemDraw, item_draw
from training.ranking.learned_item_vectors import LearnedItemVectors
from training.workbench.adamw_by_rows import AdamWByRows
from training.workbench.checkpoints import FitProgress
from training.workbench.fit_epochs import FitLimits, epoch_seed, fit_epochs
from training.workbench.next_item_windows import NOTHING, NextItemBatch, WindowEpochs

USERS_PER_BLOCK, SCORES_PER_BLOCK = 256, 16_000_000
"""Scores of all items are held for at most this many users at once, and 64 MB of them or one user's."""


def new_history_encoder(settings: DenseSettings) -> HistoryEncoder:
    """The encoder of the settings, with random weights."""
    if settings.encoder == RECURRENT:
        return RecurrentHistoryEncoder(
            settings.dim,
            width=settings.width,
            max_history_items=settings.max_history_items,
            dropout_rate=settings.dropout_rate,
        )
    return TransformerHistoryEncoder(
        settings.dim,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        max_history_items=settings.max_history_items,
        dropout_rate=settings.dropout_rate,
    )


class DenseModel(nn.Module):
    """Item vectors and history encoder, trained together."""

    def __init__(
        self,
        content: Float32[np.ndarray, "item content"],
        is_trained: Bool[np.ndarray, "item"],
        is_held_out: Bool[np.ndarray, "item"],
        settings: DenseSettings,
    ) -> None:
        super().__init__()
        self.items = LearnedItemVectors(
            torch.from_numpy(content), torch.from_numpy(is_trained), torch.from_numpy(is_held_out), settings.dim
        )
        self.encoder = new_history_encoder(settings)

    def start_from(self, head: DenseHead) -> None:
        """Take over a trained head's weights. An item that it was not trained on starts as if just posted."""
        self.items.start_from(torch.from_numpy(head.item_vectors), torch.from_numpy(head.content_map))
        self.encoder.load_state_dict(head.encoder.state_dict())

    def loss(self, batch: NextItemBatch, own_dropout: float, draw: ItemDraw | None = None) -> torch.Tensor:
        """Cross-entropy over all trained items, or over drawn ones with `draw`; weighted mean over the targets."""
        is_target = batch.targets != NOTHING
        # Padding takes item 0, which may be untrained. It stands behind all items, so no state depends on it.
        inputs = self.items.places[batch.inputs].clamp(min=0)
        targets = self.items.places[batch.targets[is_target]]
        weights = None if batch.weights is None else batch.weights[is_target]
        total_weight = len(targets) if weights is None else weights.sum()
        if draw is not None:
            drawn, log_counts = draw.draw(targets)
            touched = torch.unique(torch.cat([inputs.flatten(), drawn]))
            vectors = self.items.some(touched, own_dropout)
            encoded = self.encoder(vectors[torch.searchsorted(touched, inputs)])[is_target]
            targets, drawn = torch.searchsorted(touched, targets), torch.searchsorted(touched, drawn)
            return sampled_softmax_loss(encoded, vectors, targets, drawn, log_counts, weights) / total_weight
        vectors = self.items.trained(own_dropout)
        encoded = self.encoder(vectors[inputs])[is_target]
        if encoded.device.type == "cpu":
            return full_softmax_loss(encoded, vectors, targets, weights=weights) / total_weight
        return mean_cross_entropy(encoded @ vectors.T, targets, weights)

    def head(self, *, as_new: bool = False) -> DenseHead:
        """The head as served, or with every item's vector as if it had just been posted."""
        with torch.inference_mode():
            vectors = self.items.all(as_new=as_new).cpu().numpy().copy()
            content_map = self.items.map_of_content().cpu().numpy().copy()
        return DenseHead(self.encoder.eval(), GrowingRows(vectors), content_map)


def fit_dense_head(
    folder: Path,
    training: ItemSequences,
    content: Float32[np.ndarray, "item content"],
    is_held_out: Bool[np.ndarray, "item"],
    validation: EvaluationSplit,
    settings: DenseSettings,
    *,
    start_from: DenseHead | None = None,
    device: torch.device,
    seed: int,
    progress: Progress[NextItemBatch],
    report: Callable[[str], None],
    processes: Processes = ALONE,
) -> FitProgress:
    """Train in `folder`, resuming from the checkpoint there. The best epoch ends up in `folder/dense-head`.

    Args:
        folder: for checkpoints, and in the end for `dense-head/trained` and `dense-head/as-new`, in which every item
            has the vector that it would have if it had just been posted.
        training: sequences of items.
        content: each item's embedding as if it had just been posted; no columns if nothing can be posted.
        is_held_out: items whose content teaches nothing, so that `as-new` describes them like posted items.
        validation: users whose next item chooses the epoch, seen items masked; without users, it is the last.
        settings: sizes and schedule.
        start_from: a trained head of the same settings to go on from, instead of random weights.
        device: to train on.
        seed: of weights, order and dropout.
        progress: over batches.
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
    is_trained = np.zeros(len(content), dtype=np.bool_)
    is_trained[training.items] = True
    torch.manual_seed(seed)
    model = DenseModel(content, is_trained, is_held_out, settings)
    if start_from is not None:
        model.start_from(start_from)
    model.to(device)
    draw = item_draw(training, device) if is_trained.sum() > settings.max_softmax_items else None

    def save(folder: Path) -> None:
        model.head().save(folder / "trained")
        model.head(as_new=True).save(folder / "as-new")

    def report_epoch(done: FitProgress, _step_seconds: float) -> None:
        report(f"dense head, epoch {done.epochs_done}: loss {done.losses[-1]:.3f}, {done.last_validation}")

    return fit_epochs(
        folder,
        model,
        AdamWByRows(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
        ),
        FitLimits(settings.max_epochs, settings.patience),
        label="dense head",
        best="dense-head",
        seed=seed,
        batches=lambda epoch: windows.batches(epoch_seed(seed, epoch), settings.positions_per_batch),
        loss_of=lambda batch: model.loss(batch.to(device), settings.own_dropout, draw),
        learning_rate=lambda epochs_done: settings.learning_rate * rate_share(epochs_done, settings),
        learning_rate_setting="dense.learning_rate",
        validate=(lambda _folder: validation_ndcg(model.head(), validation)) if len(validation.targets) else None,
        save=save,
        tables=() if draw is None else (model.items.own,),
        processes=processes,
        progress=progress,
        report=report_epoch,
    )


def rate_share(epochs_done: float, settings: DenseSettings) -> float:
    """Linear warm-up over the first tenth of an epoch, then half a cosine down to a tenth."""
    if epochs_done < 0.1:
        return max(epochs_done, 0.005) / 0.1
    return 0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, epochs_done / settings.max_epochs)))


def validation_ndcg(head: DenseHead | DenseHeads, validation: EvaluationSplit) -> float:
    """NDCG@10, seen items masked, over at least one user."""
    gains = []
    at_once = max(1, min(USERS_PER_BLOCK, SCORES_PER_BLOCK // head.num_items))
    for start in range(0, len(validation.targets), at_once):
        users = np.arange(start, min(start + at_once, len(validation.targets)))
        histories = validation.histories.select(users)
        scores = head.log_probabilities(list(histories))
        _, masked = ranks_by_scores(scores, validation.targets_of(users), histories)
        gains.append(ndcg_at(masked, 10))
    return float(np.concatenate(gains).mean())
