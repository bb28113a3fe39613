"""Run a T5 checkpoint for decoding: encode views once, then score tokens step by step for many beams per view.

Start at `load_generator`. The model is transformers' T5 (Raffel et al. 2020), read from its own files, with the same
logits. We differ in the computation: keys and values of the encoded views are computed once for all layers and never
copied per beam, as beams are further query rows over them; the beams' own keys and values are cached from step to step;
logits are computed only for the tokens that need them.
"""

import logging
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from clairo_core.errors import GeneratorError
from clairo_core.generation.t5.content_inputs import content_inputs
from clairo_core.generation.t5.decoder_state import BeamCache, EncodedViews
from clairo_core.generation.t5.generator_checkpoint import (
    DecoderBlock,
    EncoderBlock,
    GeneratorConfig,
    GeneratorWeights,
    load_weights,
    read_config,
)
from clairo_core.generation.t5.position_bias import bias_by_distance
from clairo_core.generation.t5.softmax_sums import at_once_on, log_normalizer

logger = logging.getLogger(__name__)


class Generator:
    """A T5 that scores tokens. Immutable and thread-safe."""

    def __init__(self, config: GeneratorConfig, weights: GeneratorWeights) -> None:
        self.config = config
        self.weights = weights
        self._encoder_bias_by_distance = bias_by_distance(config, weights.encoder_position_bias, True)
        self._decoder_bias_by_distance = bias_by_distance(config, weights.decoder_position_bias, False)
        # A normed hidden state is at most sqrt(d_model) long, which bounds every logit.
        longest_row = torch.linalg.vector_norm(weights.output_embeddings.float(), dim=1).max()
        self._max_logit = float(longest_row) * config.d_model**0.5

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights.token_embeddings.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights; log-probabilities are always float32."""
        return self.weights.token_embeddings.dtype

    def encode(
        self,
        ids: Int[Tensor, "view length"],
        lengths: Int[Tensor, "view"],
        content: Float[Tensor, "view place content_dim"] | None = None,
    ) -> EncodedViews:
        """Encode views of `lengths` tokens each, at least one, filled with PAD.

        `content` are the embeddings of the items of each view, filled with zeros; see `content_inputs`.

        Raises:
            GeneratorError: there is content and the T5 reads none, or the other way round.
        """
        projection = self.weights.content_projection
        if (content is None) != (projection is None):
            raise GeneratorError(
                f"the T5 reads {'tokens alone' if projection is None else 'item embeddings'}, but got "
                f"{'none' if content is None else 'item embeddings'}; pass them where content_dim is above 0"
            )
        num_views, length = ids.shape
        num_heads, d_kv = self.config.num_heads, self.config.d_kv
        positions = torch.arange(length, device=self.device)
        is_padding: Bool[Tensor, "view length"] = positions[None, :] >= lengths[:, None]
        padding_bias = torch.zeros(num_views, 1, 1, length, dtype=self.dtype, device=self.device)
        padding_bias.masked_fill_(is_padding[:, None, None, :], float("-inf"))
        reach = self.config.relative_attention_max_distance
        distances = (positions[None, :] - positions[:, None]).clamp(-reach, reach) + reach
        bias = self._encoder_bias_by_distance[:, distances] + padding_bias
        hidden = functional.embedding(ids.view(-1), self.weights.token_embeddings).float()
        if content is not None and projection is not None:
            hidden += content_inputs(content, projection, length).view(hidden.shape)
        for block in self.weights.encoder_blocks:
            projected = functional.linear(self._normed(hidden), block.query_key_value)
            query, keys, values = projected.view(num_views, length, 3, num_heads, d_kv).permute(2, 0, 3, 1, 4)
            # T5 does not scale attention scores.
            attended = functional.scaled_dot_product_attention(query, keys, values, attn_mask=bias, scale=1.0)
            add_product(hidden, attended.transpose(1, 2).reshape(len(hidden), -1), block.output)
            self._add_feed_forward(block, hidden)
        projected = functional.linear(self._normed(hidden), self.weights.cross_keys_and_values)
        by_layer = projected.view(num_views, length, -1, 2, num_heads, d_kv).permute(2, 3, 0, 4, 1, 5)
        return EncodedViews(
            by_layer.reshape(-1, 2, num_views * num_heads, length, d_kv),
            padding_bias.expand(-1, num_heads, -1, -1).reshape(num_views * num_heads, 1, length),
        )

    def start(self) -> BeamCache:
        """The empty cache before the first step."""
        shape = (0, 2 * self.config.num_decoder_layers, 0, self.config.num_heads, self.config.d_kv)
        return BeamCache(torch.empty(shape, dtype=self.dtype, device=self.device))

    def step(
        self,
        tokens: Int[Tensor, "view beam"],
        views: EncodedViews,
        cache: BeamCache,
        parents: Int[Tensor, "view*beam"] | None = None,
    ) -> tuple[Float[Tensor, "view beam d_model"], BeamCache]:
        """Append one token to each beam; every view has the same number of beams.

        Args:
            tokens: one per beam.
            views: from `encode`.
            cache: of the previous step; it is not changed.
            parents: the beam of `cache` that each beam extends; by default its own.

        Returns:
            Hidden states, for `log_normalizer` and the logits, and the next cache. Its beams are those of the first
            view, then those of the second, and so on.
        """
        num_views, num_beams = tokens.shape
        num_heads, d_kv = self.config.num_heads, self.config.d_kv
        own = torch.arange(tokens.numel(), device=self.device)
        longer = cache.extended(own if parents is None else parents)
        step = len(longer.keys_and_values) - 1
        distances = torch.arange(step, -1, -1, device=self.device)
        distances.clamp_(max=self.config.relative_attention_max_distance)
        bias = self._decoder_bias_by_distance[:, distances].T[:, None, :]
        hidden = functional.embedding(tokens.reshape(-1), self.weights.token_embeddings).float()
        for layer, block in enumerate(self.weights.decoder_blocks):
            projected = functional.linear(self._normed(hidden), block.query_key_value)
            query, new_keys, new_values = projected.view(-1, 3, num_heads, d_kv).unbind(1)
            keys, values = longer.keys_and_values[:, 2 * layer : 2 * layer + 2].unbind(1)
            keys[step], values[step] = new_keys, new_values
            # With so few steps, plain products beat thousands of tiny matrix multiplications.
            attention = torch.softmax(((keys * query).sum(-1) + bias).float(), dim=0).to(self.dtype)
            attended = (values * attention[..., None]).sum(0)
            add_product(hidden, attended.view(len(hidden), -1), block.output)
            self._add_cross_attention(block, hidden, num_views, layer, views)
            self._add_feed_forward(block, hidden)
        return self._normed(hidden, torch.float32).view(num_views, num_beams, -1), longer

    def log_normalizer(self, hidden: Float[Tensor, "*beam d_model"]) -> Float[Tensor, "*beam"]:
        """The softmax's log-denominator over the whole vocabulary, float32."""
        flat = hidden.reshape(-1, hidden.shape[-1]).to(self.dtype)
        return log_normalizer(flat, self.weights.output_embeddings, self._max_logit).view(hidden.shape[:-1])

    def output_rows(self, tokens: Int[Tensor, "token"]) -> Float[Tensor, "token d_model"]:
        """The float32 rows whose products with a hidden state are the tokens' logits."""
        return self.weights.output_embeddings[tokens].float()

    def logits_of_pairs(
        self, hidden: Float[Tensor, "beam d_model"], beams: Int[Tensor, "pair"], tokens: Int[Tensor, "pair"]
    ) -> Float[Tensor, "pair"]:
        """The logit of one token after one beam, for each pair; always float32."""
        at_once = at_once_on(hidden.device).pairs
        logits = [
            torch.linalg.vecdot(hidden[some_beams].float(), self.output_rows(some_tokens))
            for some_beams, some_tokens in zip(torch.split(beams, at_once), torch.split(tokens, at_once), strict=True)
        ]
        return torch.cat(logits)

    def _normed(
        self, hidden: Float[Tensor, "row d_model"], dtype: torch.dtype | None = None
    ) -> Float[Tensor, "row d_model"]:
        """Divide by the root mean square; the norm's weights are folded into the next matrix."""
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        mean_square = length.square_().mul_(1.0 / hidden.shape[-1])
        factor: Float[Tensor, "row 1"] = mean_square.add_(self.config.layer_norm_epsilon).rsqrt_()
        return (hidden * factor).to(dtype or self.dtype)

    def _add_cross_attention(
        self,
        block: DecoderBlock,
        hidden: Float[Tensor, "beam d_model"],
        num_views: int,
        layer: int,
        views: EncodedViews,
    ) -> None:
        keys, values = views.keys_and_values[layer].unbind(0)
        by_head = (num_views, -1, self.config.num_heads, self.config.d_kv)
        query = functional.linear(self._normed(hidden), block.cross_query).view(by_head).transpose(1, 2)
        # One matrix per view and head: all beams of the view are rows of its query.
        query = query.reshape(len(keys), -1, self.config.d_kv)
        scores = torch.baddbmm(views.attention_bias, query, keys.transpose(1, 2))
        attended = torch.bmm(torch.softmax(scores.float(), dim=-1).to(self.dtype), values)
        attended = attended.view(num_views, self.config.num_heads, -1, self.config.d_kv).transpose(1, 2)
        add_product(hidden, attended.reshape(len(hidden), -1), block.cross_output)

    def _add_feed_forward(self, block: EncoderBlock, hidden: Float[Tensor, "row d_model"]) -> None:
        inner = functional.linear(self._normed(hidden), block.feed_forward_in)
        if self.config.is_gated:
            gate, inner = inner.chunk(2, dim=-1)
            inner = functional.gelu(gate, approximate="tanh") * inner
        else:
            inner.relu_()
        add_product(hidden, inner, block.feed_forward_out)


def add_product(
    hidden: Float[Tensor, "row d_model"], inner: Float[Tensor, "row inner"], matrix: Float[Tensor, "d_model inner"]
) -> None:
    """Add to the hidden states, which stay float32 across layers: bfloat16 would lose most there."""
    if inner.dtype == hidden.dtype:
        hidden.addmm_(inner, matrix.T)
    else:
        hidden.add_(functional.linear(inner, matrix))


def load_generator(folder: Path, device: str | torch.device = "auto", *, dtype: str = "float32") -> Generator:
    """Read a T5 checkpoint in transformers' format: config.json and model.safetensors.

    Args:
        folder: written by `T5ForConditionalGeneration.save_pretrained`; nothing else is read.
        device: `auto` for a CUDA GPU if available, or a device's name in torch.
        dtype: `float32`, or `bfloat16` for half the memory and, where hardware supports it, less time.

    Raises:
        GeneratorError: the folder does not hold a supported T5, or the device or dtype is unavailable.
    """
    number_format, config = dtype_of(dtype), read_config(folder)
    return Generator(config, load_weights(folder, config, choose_device(device), number_format))


def dtype_of(name: str) -> torch.dtype:
    """The number format of this name.

    Raises:
        GeneratorError: it is neither float32 nor bfloat16.
    """
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name not in dtypes:
        raise GeneratorError(f"dtype is {name!r}, expected one of {', '.join(dtypes)}; choose one of them")
    return dtypes[name]


def choose_device(name: str | torch.device) -> torch.device:
    """Resolve `auto` to a CUDA GPU, else the CPU; any other name is torch's. A fallback is logged with its reason.

    Raises:
        GeneratorError: the device is unknown to torch, or unavailable.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            logger.info("torch finds no CUDA GPU; the CPU computes")
            return torch.device("cpu")
        try:
            torch.zeros(1, device="cuda")
        except RuntimeError as error:
            logger.warning("the CUDA GPU cannot be used (%s); the CPU computes", error)
            return torch.device("cpu")
        return torch.device("cuda")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise GeneratorError(f"device {name!r} cannot be used ({error}); choose auto or cpu") from error
    return device
