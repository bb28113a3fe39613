"""One block of self-attention and feed-forward, stacked by SASRec and BERT4Rec.

Pre-norm (Xiong et al. 2020), where both papers use post-norm: it needs no warm-up. Dropout is on the output of each
part, not on attention weights: on a CPU that would cost as much as the rest of the block.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


class TransformerBlock(nn.Module):
    """Attention over a window's places, then a feed-forward layer of four times the width."""

    def __init__(self, dim: int, num_heads: int, dropout: float, *, is_causal: bool = False) -> None:
        super().__init__()
        self.num_heads, self.is_causal = num_heads, is_causal
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        states: Float[Tensor, "user place dim"],
        may_attend: Bool[Tensor, "user 1 1 place"] | None = None,
    ) -> Float[Tensor, "user place dim"]:
        """Update the states; places attend to themselves and earlier ones if causal, else by `may_attend`."""
        users, places, dim = states.shape
        projected = self.query_key_value(self.attention_norm(states))
        query, key, value = projected.view(users, places, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=may_attend, is_causal=self.is_causal
        )
        states = states + self.dropout(self.output(attended.transpose(1, 2).reshape(users, places, dim)))
        added: Float[Tensor, "user place dim"] = states + self.dropout(
            self.feed_forward(self.feed_forward_norm(states))
        )
        return added


def start_small(module: nn.Module) -> None:
    """Initialize matrices from a normal distribution of deviation 0.02, biases to zero; for `nn.Module.apply`."""
    if isinstance(module, nn.Linear | nn.Embedding):
        torch.nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        torch.nn.init.zeros_(module.bias)
