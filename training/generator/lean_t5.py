"""T5's hidden states in training: transformers' weights, half the operations. Start at `LeanT5.decoded`.

Batches are small, so masks, biases, norms and embedding gradients take more time than the matrix products. The
arithmetic is T5's (Raffel et al. 2020, with the ReLU of its first version), equal to transformers' up to rounding. We
differ: norm weights are multiplied into the next matrix; queries, keys and values are one product; attention is masked
only where something is padded; all embeddings are fetched at once, so the table has a single gradient. Decoder steps
that the loss does not read are skipped. The rest are few beside the inputs, so their queries are mapped to the space of
the encoder's states instead of those states to keys and values (DeepSeek-AI 2024, "DeepSeek-V2", section 2.1).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import T5ForConditionalGeneration

from clairo_core.generation.t5.content_inputs import content_inputs
from clairo_core.generation.t5.position_bias import distance_buckets
from clairo_core.tokens.vocabulary import PAD
from training.workbench.eight_bit_dropout import EightBitDropout


@dataclass(frozen=True, slots=True)
class ToDecode:
    """Inputs of a training step, and the outputs that its loss needs."""

    input_ids: Int[Tensor, "example input"]
    """History views, padded."""
    is_input: Bool[Tensor, "example input"]
    """False for padding."""
    labels: Int[Tensor, "example step"]
    """Tokens to generate."""
    is_step: Bool[Tensor, "example step"]
    """Labels whose hidden states are needed: a prefix of each example."""
    tokens: Int[Tensor, "token"]
    """Further tokens whose embeddings the loss needs."""
    content: Float[Tensor, "example place dim"] | None = None
    """Embeddings of the histories' items, for a T5 that reads them."""


Decoded = tuple[Float[Tensor, "row d_model"], Float[Tensor, "token d_model"]]
"""Hidden states before the needed labels, ordered by example and step, and the embeddings of the further tokens."""


class LeanT5:
    """A T5 for one step, on a CPU in float32, in training or evaluation mode."""

    def __init__(self, model: T5ForConditionalGeneration) -> None:
        self.model = model
        config = model.config
        self.num_heads, self.d_kv, self.epsilon = config.num_heads, config.d_kv, config.layer_norm_epsilon
        self.dropout = EightBitDropout(config.dropout_rate).train(model.training)

    def decoded(self, wanted: ToDecode) -> Decoded:
        """The decoder's hidden states, and the embeddings."""
        input_ids, labels, is_step = wanted.input_ids, wanted.labels, wanted.is_step
        written = functional.pad(labels[:, :-1], (1, 0), value=PAD)[is_step]
        tokens = torch.cat([input_ids.reshape(-1), written, wanted.tokens])
        embedded = functional.embedding(tokens, self.model.shared.weight)
        sizes = [input_ids.numel(), len(written), len(wanted.tokens)]
        of_inputs, of_written, of_others = torch.split(embedded, sizes)
        if wanted.content is not None:
            projection = self.model.content_projection.weight
            of_inputs = of_inputs + content_inputs(wanted.content, projection, input_ids.shape[1]).flatten(0, 1)
        padding = None if bool(wanted.is_input.all()) else self.padding_bias(wanted.is_input)
        encoded = self.encoded(of_inputs, input_ids.shape, padding).view(*input_ids.shape, -1)
        hidden = self.dropout(of_written)
        places = None if bool(is_step.all()) else is_step.flatten().nonzero()[:, 0]
        bias = self.position_bias(self.model.decoder, labels.shape[1])
        for block in self.model.decoder.block:
            hidden = hidden + self.self_attended(block.layer[0], hidden, labels.shape[0], bias, places, labels.numel())
            hidden = hidden + self.cross_attended(block.layer[1], hidden, encoded, padding, places, labels.numel())
            hidden = hidden + self.fed_forward(block.layer[2], hidden)
        normed = root_mean_square_norm(hidden, self.epsilon) * self.model.decoder.final_layer_norm.weight
        return self.dropout(normed), of_others

    def encoded(
        self,
        embedded: Float[Tensor, "row d_model"],
        shape: torch.Size,
        padding: Float[Tensor, "example #head #query input"] | None,
    ) -> Float[Tensor, "row d_model"]:
        """The encoder's last hidden states."""
        hidden = self.dropout(embedded)
        bias = self.position_bias(self.model.encoder, shape[1])
        if padding is not None:
            bias = bias + padding
        for block in self.model.encoder.block:
            hidden = hidden + self.self_attended(block.layer[0], hidden, shape[0], bias)
            hidden = hidden + self.fed_forward(block.layer[1], hidden)
        normed = root_mean_square_norm(hidden, self.epsilon) * self.model.encoder.final_layer_norm.weight
        last: Float[Tensor, "row d_model"] = self.dropout(normed)
        return last

    def self_attended(
        self,
        layer: Any,
        hidden: Float[Tensor, "row d_model"],
        num_examples: int,
        bias: Float[Tensor, "..."],
        places: Int[Tensor, "row"] | None = None,
        num_places: int = 0,
    ) -> Float[Tensor, "row d_model"]:
        """The output of self-attention. With skipped rows, `places` maps the others into `num_places`."""
        attention = layer.SelfAttention
        matrix = torch.cat([attention.q.weight, attention.k.weight, attention.v.weight]) * layer.layer_norm.weight
        projected = functional.linear(root_mean_square_norm(hidden, self.epsilon), matrix)
        padded = spread(projected, places, num_places)
        by_head = padded.view(num_examples, -1, 3, self.num_heads, self.d_kv).permute(2, 0, 3, 1, 4)
        query, keys, values = by_head.unbind(0)
        weights = self.dropout((query @ keys.transpose(2, 3) + bias).softmax(dim=-1))
        gathered = (weights @ values).transpose(1, 2).reshape(len(padded), -1)
        return self.projected(attention.o, gathered if places is None else gathered[places])

    def cross_attended(
        self,
        layer: Any,
        hidden: Float[Tensor, "row d_model"],
        encoded: Float[Tensor, "example input d_model"],
        padding: Float[Tensor, "example 1 1 input"] | None,
        places: Int[Tensor, "row"] | None,
        num_places: int,
    ) -> Float[Tensor, "row d_model"]:
        """The output of attention to the history."""
        attention, (num_examples, _, d_model) = layer.EncDecAttention, encoded.shape
        to_keys, to_values = (
            part.weight.view(self.num_heads, self.d_kv, d_model) for part in (attention.k, attention.v)
        )
        matrix = attention.q.weight * layer.layer_norm.weight
        projected = functional.linear(root_mean_square_norm(hidden, self.epsilon), matrix)
        query = projected.view(-1, self.num_heads, self.d_kv).transpose(0, 1) @ to_keys
        padded = spread(query.transpose(0, 1).reshape(len(hidden), -1), places, num_places)
        # A row per step and head.
        scores = padded.view(num_examples, -1, d_model) @ encoded.transpose(1, 2)
        if padding is not None:
            scores = scores + padding[:, 0]
        gathered = (self.dropout(scores.softmax(dim=-1)) @ encoded).reshape(len(padded), -1)
        if places is not None:
            gathered = gathered[places]
        values = gathered.view(len(hidden), self.num_heads, d_model).transpose(0, 1) @ to_values.transpose(1, 2)
        return self.projected(attention.o, values.transpose(0, 1).reshape(len(hidden), -1))

    def projected(self, output: nn.Linear, rows: Float[Tensor, "row inner"]) -> Float[Tensor, "row d_model"]:
        """The output projection of attention, with dropout."""
        added: Float[Tensor, "row d_model"] = self.dropout(functional.linear(rows, output.weight))
        return added

    def fed_forward(self, layer: Any, hidden: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        """The output of the feed-forward network."""
        dense = layer.DenseReluDense
        inner = functional.linear(
            root_mean_square_norm(hidden, self.epsilon), dense.wi.weight * layer.layer_norm.weight
        )
        added: Float[Tensor, "row d_model"] = self.dropout(
            functional.linear(self.dropout(functional.relu(inner)), dense.wo.weight)
        )
        return added

    def position_bias(self, stack: Any, length: int) -> Float[Tensor, "1 head query input"]:
        """Bias by relative position. A decoder attends to no later position."""
        attention = stack.block[0].layer[0].SelfAttention
        num_buckets, reach = attention.relative_attention_num_buckets, attention.relative_attention_max_distance
        positions = torch.arange(length)
        ahead = positions[None, :] - positions[:, None]
        if stack.is_decoder:
            buckets = distance_buckets(-ahead.clamp(max=0), num_buckets, reach)
        else:
            half = num_buckets // 2
            buckets = distance_buckets(ahead.abs(), half, reach) + half * (ahead > 0)
        bias = functional.embedding(buckets, attention.relative_attention_bias.weight).permute(2, 0, 1)[None]
        return bias.masked_fill(ahead > 0, -torch.inf) if stack.is_decoder else bias

    @staticmethod
    def padding_bias(is_input: Bool[Tensor, "example input"]) -> Float[Tensor, "example 1 1 input"]:
        """-inf for padding."""
        bias = torch.zeros(is_input.shape).masked_fill_(~is_input, -torch.inf)
        return bias[:, None, None, :]


def spread(
    rows: Float[Tensor, "row width"], places: Int[Tensor, "row"] | None, num_places: int
) -> Float[Tensor, "place width"]:
    """Each row at its place, zeros elsewhere."""
    if places is None:
        return rows
    return rows.new_zeros(num_places, rows.shape[1]).index_copy(0, places, rows)


class _RootMeanSquareNorm(torch.autograd.Function):
    """Rows divided by their root mean square."""

    @staticmethod
    def forward(ctx: Any, rows: Float[Tensor, "row dim"], epsilon: float) -> Float[Tensor, "row dim"]:  # type: ignore[override]
        factors = torch.linalg.vector_norm(rows, dim=1, keepdim=True).square_().mul_(1.0 / rows.shape[1])
        factors = factors.add_(epsilon).rsqrt_()
        normed: Float[Tensor, "row dim"] = rows * factors
        ctx.save_for_backward(normed, factors)
        return normed

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "row dim"]) -> tuple[Float[Tensor, "row dim"], None]:  # type: ignore[override]
        normed, factors = ctx.saved_tensors
        along: Float[Tensor, "row 1"] = torch.linalg.vecdot(gradient, normed)[:, None].mul_(-1.0 / normed.shape[1])
        across: Float[Tensor, "row dim"] = torch.addcmul(gradient, normed, along).mul_(factors)
        return across, None


def root_mean_square_norm(rows: Float[Tensor, "row dim"], epsilon: float) -> Float[Tensor, "row dim"]:
    """T5's norm (Zhang and Sennrich 2019) without its weights."""
    normed: Float[Tensor, "row dim"] = _RootMeanSquareNorm.apply(rows, epsilon)  # type: ignore[no-untyped-call]
    return normed
