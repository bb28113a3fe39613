"""Two causal blocks that stand in for SASRec's: LiGR's gated transformer block, and HSTU's."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from training.baselines.sequence_model import MAX_LENGTH


class LigrBlock(nn.Module):
    """Attention and a gated feed-forward layer, each scaled by a gate that reads its input.

    Source: "From Features to Transformers" (LiGR, arXiv 2502.03417), in SASRec as in eSASRec (arXiv 2508.06450). We
    differ: dropout is on the output of each part, not on attention weights.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm, self.feed_forward_norm = nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.query_key_value, self.output = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.attention_gate, self.feed_forward_gate = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.up, self.up_gate, self.down = nn.Linear(dim, 4 * dim), nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Float[Tensor, "user place dim"]) -> Float[Tensor, "user place dim"]:
        """Update the states; places attend to themselves and earlier ones."""
        normed = self.attention_norm(states)
        query, key, value = _heads(self.query_key_value(normed), 3, self.num_heads)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        attended = self.output(attended.transpose(1, 2).flatten(start_dim=2))
        states = states + self.dropout(attended * torch.sigmoid(self.attention_gate(normed)))
        normed = self.feed_forward_norm(states)
        fed = self.down(functional.silu(self.up_gate(normed)) * self.up(normed))
        added: Float[Tensor, "user place dim"] = states + self.dropout(
            fed * torch.sigmoid(self.feed_forward_gate(normed))
        )
        return added


class HstuBlock(nn.Module):
    """Attention without softmax, gated place by place; no feed-forward layer.

    Source: Zhai et al. 2024, "Actions Speak Louder than Words" (HSTU). We differ: windows hold no times, so
    attention has a learned bias for the distance in places alone.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.input_norm, self.attended_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.gate_value_query_key, self.output = nn.Linear(dim, 4 * dim), nn.Linear(dim, dim)
        self.of_distance = nn.Parameter(torch.zeros(MAX_LENGTH))
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Float[Tensor, "user place dim"]) -> Float[Tensor, "user place dim"]:
        """Update the states; places attend to themselves and earlier ones."""
        projected = functional.silu(self.gate_value_query_key(self.input_norm(states)))
        gate, value, query, key = _heads(projected, 4, self.num_heads)
        places = torch.arange(states.shape[1])
        distance = places[:, None] - places
        scores = query @ key.transpose(-1, -2) + self.of_distance[distance.clamp(min=0)]
        # A sum over earlier places, not a mean: how often something occurred stays visible.
        attention = functional.silu(scores).masked_fill(distance < 0, 0.0) / MAX_LENGTH
        attended = self.attended_norm((attention @ value).transpose(1, 2).flatten(start_dim=2))
        added: Float[Tensor, "user place dim"] = states + self.output(
            self.dropout(attended * gate.transpose(1, 2).flatten(start_dim=2))
        )
        return added


def _heads(
    projected: Float[Tensor, "user place parts_dim"], num_parts: int, num_heads: int
) -> Float[Tensor, "part user head place head_dim"]:
    users, places, _ = projected.shape
    return projected.view(users, places, num_parts, num_heads, -1).permute(2, 0, 3, 1, 4)
