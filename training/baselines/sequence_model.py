"""What a neural baseline is: a loss over windows of histories, and scores of every item behind a window."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from clairo_core.sequences import ItemSequences
from training.baselines.padded_windows import Windows, last_windows

MAX_LENGTH = 50
"""Items of a history that are looked at."""


@dataclass(frozen=True, slots=True)
class SequenceModelSettings:
    """What validation chooses."""

    dim: int
    dropout: float


class SequenceModel(Protocol):
    """A torch module beside that; dropout and masks are drawn from torch's own random state."""

    def loss(self, windows: Windows) -> Float[Tensor, ""]:
        """Of one step; every window holds two items or more."""
        ...

    def scores(self, windows: Windows) -> Float[Tensor, "user item"]:
        """The higher, the sooner recommended."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SequenceScorer:
    """A fitted model as a scorer."""

    module: nn.Module
    model: SequenceModel
    num_items: int

    def scores(self, histories: ItemSequences) -> Float32[np.ndarray, "user item"]:
        """By each history's newest items."""
        self.module.eval()
        with torch.inference_mode():
            scores: Float32[np.ndarray, "user item"] = self.model.scores(
                last_windows(histories, self.num_items, MAX_LENGTH)
            ).numpy()
        return scores
