"""The rival of `speed.train`: transformers' T5 in a usual training loop."""

from collections.abc import Callable, Sequence

import torch
from transformers import T5ForConditionalGeneration

from clairo_core.tokens.vocabulary import PAD
from training.generator.examples import TrainingBatch

IGNORED = -100
"""Label that transformers leaves out of its loss."""


def padded_steps(model: T5ForConditionalGeneration, batches: Sequence[TrainingBatch]) -> Callable[[], None]:
    """Build a call of one step per batch: the model's own loss, torch's default AdamW, gradients clipped."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    inputs = []
    for batch in batches:
        ids, labels = torch.from_numpy(batch.input_ids).long(), torch.from_numpy(batch.labels).long()
        mask = torch.arange(ids.shape[1]) < torch.from_numpy(batch.input_lengths)[:, None]
        inputs.append((ids, mask.long(), labels.masked_fill(labels == PAD, IGNORED)))
    model.train()

    def call() -> None:
        for ids, mask, labels in inputs:
            optimizer.zero_grad()
            model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return call
