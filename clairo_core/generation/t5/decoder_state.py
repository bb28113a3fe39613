"""The decoder's state across steps: keys and values of the encoded views, and of the beams' tokens."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class EncodedViews:
    """Keys and values of a batch of encoded views, for cross-attention."""

    keys_and_values: Float[Tensor, "layer 2 view*head length d_kv"]
    attention_bias: Float[Tensor, "view*head 1 length"]
    """0 at tokens, minus infinity at padding."""


@dataclass(frozen=True, eq=False)
class BeamCache:
    """Keys and values of each beam's tokens so far."""

    keys_and_values: Float[Tensor, "step layer*2 beam head d_kv"]

    def extended(self, parents: Int[Tensor, "beam"]) -> "BeamCache":
        """The cache of beams that extend `parents`, each any number of times, with room for one more step.

        Steps come first in memory, so the old ones are gathered directly into the new cache.
        """
        num_steps, num_parts, _, num_heads, d_kv = self.keys_and_values.shape
        longer = self.keys_and_values.new_empty(num_steps + 1, num_parts, len(parents), num_heads, d_kv)
        if num_steps:
            torch.index_select(self.keys_and_values, 2, parents, out=longer[:num_steps])
        return BeamCache(longer)
