"""Train the T5 to generate the next item's canonical tokens; `tasks` has what else it learns. Start at `fit_generator`.

The model is transformers' T5 (Raffel et al. 2020), the task that of ActionPiece (Hou et al. 2025, section 3.3): from
every prefix of a history, in a new random view each epoch, to the next item. We differ: batches of similar lengths,
AdamW with a cosine schedule, a softmax over the tokens that can follow, and embeddings that start at the centroids.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from clairo_core.errors import TrainingError
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.progress import Progress
from clairo_core.tokens.vocabulary import EOS, PAD, Vocabulary
from training.config.preset import FitSettings, GeneratorSettings
from training.engines.processes import ALONE, Processes
from training.generator.content_t5 import ContentT5, ContentT5Config, load_t5, start_projection
from training.generator.examples import TrainingBatch
from training.generator.next_item_loss import NextItemLoss
from training.generator.start_embeddings import start_embeddings
from training.generator.tasks import Lessons, epoch_sizes, mixed_batches
from training.workbench.checkpoints import FitProgress
from training.workbench.fit_epochs import FitLimits, epoch_seed, fit_epochs

Validate = Callable[[Path], float]
"""A checkpoint folder -> validation NDCG@10."""


def new_generator(
    settings: GeneratorSettings,
    vocabulary: Vocabulary,
    seed: int,
    *,
    softmax: Softmax = Softmax.VOCABULARY,
    feature_vectors: Float32[np.ndarray, "feature dim"] | None = None,
    content: Float32[np.ndarray, "item dim"] | None = None,
) -> T5ForConditionalGeneration:
    """A T5 with tied embeddings and random weights, but for `start_embeddings`. Padding starts the decoder, as in T5.

    With `content`, it reads item embeddings like these too. The softmax and their length go into config.json, from
    which the service reads them.
    """
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": vocabulary.size,
        "d_model": settings.d_model,
        "d_kv": settings.d_kv,
        "d_ff": settings.d_ff,
        "num_layers": settings.num_layers,
        "num_decoder_layers": settings.num_layers,
        "num_heads": settings.num_heads,
        "dropout_rate": settings.dropout_rate,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "decoder_start_token_id": PAD,
        "softmax": softmax.value,
    }
    if content is None:
        model = T5ForConditionalGeneration(T5Config(**shape))
    else:
        model = ContentT5(ContentT5Config(**shape, content_dim=content.shape[1]))
        model.content_projection.weight.data = start_projection(content, settings.d_model)
    model.shared.weight.data = start_embeddings(model.shared.weight.data, vocabulary, feature_vectors)
    return model


def learning_rate_share(step: int, total_steps: int, warmup_share: float) -> float:
    """Linear warm-up, then half a cosine down to a twentieth.

    >>> [round(learning_rate_share(step, 100, 0.1), 2) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.53, 0.05]
    """
    warmup_steps = max(1, round(total_steps * warmup_share))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def fit_generator(
    folder: Path,
    lessons: Lessons,
    generator_settings: GeneratorSettings,
    settings: FitSettings,
    *,
    feature_vectors: Float32[np.ndarray, "feature dim"] | None = None,
    start_from: Path | None = None,
    device: torch.device,
    seed: int,
    validate: Validate | None,
    progress: Progress[TrainingBatch],
    report: Callable[[str], None],
    processes: Processes = ALONE,
) -> FitProgress:
    """Train in `folder`, resuming from the checkpoint there. The best epoch ends up in `folder/generator`.

    With `start_from`, the weights begin as that checkpoint's, which needs a row for every token.

    Without `validate`, the last epoch is the best.

    Raises:
        TrainingError: there is no example to learn from, or the loss diverges.
    """
    if len(lessons.tasks[0].examples) == 0:
        raise TrainingError("no user has two items in training, so there is nothing to learn; add interactions")
    sizes = epoch_sizes(lessons.tasks, settings.batch_size, settings.examples_per_epoch, settings.max_user_examples)
    softmax = Softmax(settings.softmax)
    if start_from is None:
        model = new_generator(
            generator_settings,
            lessons.tokenizer.vocabulary,
            seed,
            softmax=softmax,
            feature_vectors=feature_vectors,
            content=lessons.content,
        )
    else:
        model = load_t5(start_from)
        model.config.softmax = softmax.value
    model.to(device)
    losses = [NextItemLoss(softmax, written.choices, settings.label_smoothing, device) for written in lessons.written]

    def batches(epoch: int) -> tuple[Iterator[TrainingBatch], int]:
        mixed = mixed_batches(lessons, sizes, epoch_seed(seed, epoch), balance_users=settings.balance_users)
        return mixed, sizes.num_batches

    def loss_of(batch: TrainingBatch) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return losses[batch.language](model, batch)

    def learning_rate(epochs_done: float) -> float:
        step, num_steps = round(epochs_done * sizes.num_batches), settings.max_epochs * sizes.num_batches
        return settings.learning_rate * learning_rate_share(step, num_steps, settings.warmup_share)

    def save(checkpoint: Path) -> None:
        model.save_pretrained(checkpoint)

    def validate_as_served(checkpoint: Path, validate: Validate) -> float:
        save(checkpoint)
        return validate(checkpoint)

    def report_epoch(done: FitProgress, step_seconds: float) -> None:
        report(
            f"epoch {done.epochs_done}: loss {done.losses[-1]:.3f}, {done.last_validation}, "
            f"{sum(sizes.num_examples) / step_seconds:.0f} examples/s"
        )

    return fit_epochs(
        folder,
        model,
        torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        ),
        FitLimits(settings.max_epochs, settings.patience, settings.max_minutes),
        label="generator",
        best="generator",
        seed=seed,
        batches=batches,
        loss_of=loss_of,
        learning_rate=learning_rate,
        learning_rate_setting="fit.learning_rate",
        validate=None if validate is None else partial(validate_as_served, validate=validate),
        # With validation, each epoch is saved for it already.
        save=save if validate is None else lambda checkpoint: None,
        max_gradient_norm=1.0,
        processes=processes,
        progress=progress,
        report=report_epoch,
    )
