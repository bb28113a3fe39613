"""The protocol of neural baselines: a loss over windows of histories, and scores of all items after a window."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from clairo_core.sequences import ItemSequences
from training.baselines.padded_windows import Windows, last_windows

MAX_LENGTH = 50
"""Newest items of a history that are used."""


@dataclass(frozen=True, slots=True)
class SequenceModelSettings:
    """Settings chosen on validation."""

    dim: int
    dropout: float


class SequenceModel(Protocol):
    """Also a torch module; dropout and masks use torch's random state."""

    def loss(self, windows: Windows) -> Float[Tensor, ""]:
        """Loss of one step; every window holds two or more items."""
        ...

    def scores(self, windows: Windows) -> Float[Tensor, "user item"]:
        """Score all items; higher ranks first."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SequenceScorer:
    """A fitted model as an `ItemScorer`."""

    module: nn.Module
    model: SequenceModel
    num_items: int

    def scores(self, histories: ItemSequences) -> Float32[np.ndarray, "user item"]:
        """Score all items from each history's newest items."""
        self.module.eval()
        with torch.inference_mode():
            scores: Float32[np.ndarray, "user item"] = self.model.scores(
                last_windows(histories, self.num_items, MAX_LENGTH)
            ).numpy()
        return scores
