"""A T5 in training whose encoder also reads the embedding of each item, as in LIGER; see `content_inputs`.

Start at `ContentT5`.
"""

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration

from clairo_core.generation.t5.generator_checkpoint import CONTENT_T5, read_config


class ContentT5Config(T5Config):  # type: ignore[misc]
    """A type of its own, so that a release that would leave the content out refuses the checkpoint."""

    model_type = CONTENT_T5


class ContentT5(T5ForConditionalGeneration):  # type: ignore[misc]
    """transformers' T5 with one more matrix, of `config.content_dim` columns. The loss reads it."""

    config_class = ContentT5Config

    def __init__(self, config: ContentT5Config) -> None:
        super().__init__(config)
        self.content_projection = nn.Linear(config.content_dim, config.d_model, bias=False)


def start_projection(item_embeddings: Float32[np.ndarray, "item dim"], d_model: int) -> Float[Tensor, "d_model dim"]:
    """A random map, drawn from torch's global random state: its outputs are as long as T5's token embeddings start."""
    mean_square = float(np.square(item_embeddings).sum(axis=1).mean())
    return torch.randn(d_model, item_embeddings.shape[1]) / math.sqrt(max(mean_square, 1e-12))


def load_t5(checkpoint: Path) -> T5ForConditionalGeneration:
    """Load a checkpoint for training, with its map of item embeddings if it has one."""
    kind = ContentT5 if read_config(checkpoint).content_dim else T5ForConditionalGeneration
    model: T5ForConditionalGeneration = kind.from_pretrained(checkpoint, local_files_only=True, dtype=torch.float32)
    return model
