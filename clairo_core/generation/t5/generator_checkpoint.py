"""Read a T5 checkpoint in transformers' format, config.json and model.safetensors, into fused matrices for decoding."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from clairo_core.errors import GeneratorError

T5, CONTENT_T5 = "t5", "content_t5"
"""Types of model in config.json: transformers' own, and one that also reads item embeddings, of which it has one matrix
more."""


class Softmax(StrEnum):
    """The tokens that the next one's softmax is over; a checkpoint is served as it was trained."""

    VOCABULARY = "vocabulary"
    REACHABLE = "reachable"
    """Tokens that lead to a catalogue item, and the end token where an item ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorConfig:
    """A T5's shape, with transformers' names where they exist."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_heads: int
    num_layers: int
    num_decoder_layers: int
    relative_attention_num_buckets: int
    relative_attention_max_distance: int
    layer_norm_epsilon: float
    is_gated: bool
    """`gated-gelu` instead of `relu`."""
    scales_output: bool
    """Hidden states are scaled by d_model^-0.5 before the output matrix."""
    softmax: Softmax = Softmax.VOCABULARY
    """Like `content_dim`, a field of config.json that transformers' T5 lacks."""
    content_dim: int = 0
    """Length of the item embeddings that the encoder of a `CONTENT_T5` reads; 0 for others."""


@dataclass(frozen=True, eq=False)
class EncoderBlock:
    """One layer of the encoder.

    A norm's weights are multiplied into the next matrix.
    """

    query_key_value: Float[Tensor, "3*head*d_kv d_model"]
    output: Float[Tensor, "d_model head*d_kv"]
    feed_forward_in: Float[Tensor, "inner d_model"]
    """If gated, the gates' rows come first and inner is twice d_ff."""
    feed_forward_out: Float[Tensor, "d_model d_ff"]


@dataclass(frozen=True, eq=False)
class DecoderBlock(EncoderBlock):
    """One layer of the decoder; cross-attention keys and values are in one matrix for all layers."""

    cross_query: Float[Tensor, "head*d_kv d_model"]
    cross_output: Float[Tensor, "d_model head*d_kv"]


@dataclass(frozen=True, eq=False)
class GeneratorWeights:
    """All weights, on one device, of one type."""

    token_embeddings: Float[Tensor, "token d_model"]
    output_embeddings: Float[Tensor, "token d_model"]
    """Already scaled if configured: logits are plain products with these rows."""
    encoder_blocks: tuple[EncoderBlock, ...]
    encoder_position_bias: Float[Tensor, "bucket head"]
    decoder_blocks: tuple[DecoderBlock, ...]
    decoder_position_bias: Float[Tensor, "bucket head"]
    cross_keys_and_values: Float[Tensor, "layer*2*head*d_kv d_model"]
    content_projection: Float[Tensor, "d_model content_dim"] | None = None
    """Of item embeddings, always float32; None where the encoder reads tokens alone."""


def read_config(folder: Path) -> GeneratorConfig:
    """Read the shape from config.json; missing fields default as in transformers.

    Raises:
        GeneratorError: config.json is missing or damaged, or the model is unsupported.
    """
    path = folder / "config.json"
    try:
        fields: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if fields["model_type"] not in (T5, CONTENT_T5):
            raise GeneratorError(
                f"{path}: model_type is {fields['model_type']!r}, expected {T5!r} or {CONTENT_T5!r}; "
                "give a T5 checkpoint"
            )
        feed_forward = fields.get("feed_forward_proj", "relu")
        if feed_forward not in ("relu", "gated-gelu"):
            raise GeneratorError(
                f"{path}: feed_forward_proj is {feed_forward!r}, expected 'relu' or 'gated-gelu'; train one with either"
            )
        softmax = fields.get("softmax", Softmax.VOCABULARY)
        if softmax not in list(Softmax):
            raise GeneratorError(
                f"{path}: softmax is {softmax!r}, expected one of {', '.join(Softmax)}; "
                "use the release of CLAIRO that wrote it"
            )
        return GeneratorConfig(
            vocab_size=int(fields["vocab_size"]),
            d_model=int(fields["d_model"]),
            d_kv=int(fields["d_kv"]),
            d_ff=int(fields["d_ff"]),
            num_heads=int(fields["num_heads"]),
            num_layers=int(fields["num_layers"]),
            num_decoder_layers=int(fields.get("num_decoder_layers") or fields["num_layers"]),
            relative_attention_num_buckets=int(fields.get("relative_attention_num_buckets", 32)),
            relative_attention_max_distance=int(fields.get("relative_attention_max_distance", 128)),
            layer_norm_epsilon=float(fields.get("layer_norm_epsilon", 1e-6)),
            is_gated=feed_forward == "gated-gelu",
            scales_output=bool(fields.get("scale_decoder_outputs", fields.get("tie_word_embeddings") is not False)),
            softmax=Softmax(softmax),
            content_dim=int(fields["content_dim"]) if fields["model_type"] == CONTENT_T5 else 0,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GeneratorError(
            f"{path}: not the configuration of a T5 ({type(error).__name__}: {error}); copy the checkpoint again"
        ) from error


def load_weights(folder: Path, config: GeneratorConfig, device: torch.device, dtype: torch.dtype) -> GeneratorWeights:
    """Read and fuse the matrices of model.safetensors.

    Raises:
        GeneratorError: the file is missing, damaged, or lacks a matrix, or one is not of the configured shape.
    """
    path = folder / "model.safetensors"
    try:
        tensors = load_file(path, device=str(device))
    except (OSError, SafetensorError) as error:
        raise GeneratorError(f"{path}: cannot be read ({error}); copy the checkpoint again") from error
    inner = config.num_heads * config.d_kv

    def take(name: str, *shape: int) -> Tensor:
        if name not in tensors:
            raise GeneratorError(f"{path}: {name} is missing; copy it and config.json from the same checkpoint")
        if tensors[name].shape != shape:
            raise GeneratorError(
                f"{path}: {name} has shape {tuple(tensors[name].shape)}, expected {shape} by config.json; "
                "copy both files from the same checkpoint"
            )
        weight: Tensor = tensors[name].float()
        return weight

    def after_norm(norm: str, *matrices: str, rows: int) -> Tensor:
        weight = take(f"{norm}.weight", config.d_model)
        return (torch.cat([take(f"{name}.weight", rows, config.d_model) for name in matrices]) * weight).to(dtype)

    def shared_parts(block: str, feed_forward: str) -> dict[str, Tensor]:
        dense = f"{block}.{feed_forward}.DenseReluDense"
        matrices = [f"{dense}.wi_0", f"{dense}.wi_1"] if config.is_gated else [f"{dense}.wi"]
        attention = f"{block}.layer.0.SelfAttention"
        return {
            "query_key_value": after_norm(
                f"{block}.layer.0.layer_norm", *(f"{attention}.{name}" for name in "qkv"), rows=inner
            ),
            "output": take(f"{attention}.o.weight", config.d_model, inner).to(dtype),
            "feed_forward_in": after_norm(f"{block}.{feed_forward}.layer_norm", *matrices, rows=config.d_ff),
            "feed_forward_out": take(f"{dense}.wo.weight", config.d_model, config.d_ff).to(dtype),
        }

    decoder_blocks = [f"decoder.block.{layer}" for layer in range(config.num_decoder_layers)]
    # A separate output matrix is stored as lm_head; usually it is the input's.
    output = "lm_head.weight" if "lm_head.weight" in tensors else "shared.weight"
    output_scale = take("decoder.final_layer_norm.weight", config.d_model) * (
        config.d_model**-0.5 if config.scales_output else 1.0
    )
    bias_shape = (config.relative_attention_num_buckets, config.num_heads)
    position_bias = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return GeneratorWeights(
        token_embeddings=take("shared.weight", config.vocab_size, config.d_model).to(dtype),
        output_embeddings=(take(output, config.vocab_size, config.d_model) * output_scale).to(dtype),
        encoder_blocks=tuple(
            EncoderBlock(**shared_parts(f"encoder.block.{layer}", "layer.1")) for layer in range(config.num_layers)
        ),
        encoder_position_bias=take(f"encoder.{position_bias}", *bias_shape).to(dtype),
        decoder_blocks=tuple(
            DecoderBlock(
                **shared_parts(block, "layer.2"),
                cross_query=after_norm(f"{block}.layer.1.layer_norm", f"{block}.layer.1.EncDecAttention.q", rows=inner),
                cross_output=take(f"{block}.layer.1.EncDecAttention.o.weight", config.d_model, inner).to(dtype),
            )
            for block in decoder_blocks
        ),
        decoder_position_bias=take(f"decoder.{position_bias}", *bias_shape).to(dtype),
        cross_keys_and_values=after_norm(
            "encoder.final_layer_norm",
            *(f"{block}.layer.1.EncDecAttention.{name}" for block in decoder_blocks for name in "kv"),
            rows=inner,
        ),
        content_projection=(
            take("content_projection.weight", config.d_model, config.content_dim) if config.content_dim else None
        ),
    )
