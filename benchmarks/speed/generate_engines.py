"""Compare engines that run the T5 on a CPU, end to end: torch's operators, torch.compile, and ONNX Runtime.

    python -m benchmarks.speed.generate_engines [--json FILE] [--quick]

Requests, trie, beams and weights are those of `speed.generate` (fp32, reachable softmax, 10k vocabulary). Only
encoding and decoder steps differ by engine. All are warm and take turns, and each counts its fastest. torch.compile
needs a C++ compiler, and compiles for shapes that change from step to step. ONNX Runtime's graph has no in-place
updates, so it copies its caches at each step. OMP_NUM_THREADS sets the threads of all.
"""

import os
import sys
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from benchmarks.report import Row, run_benchmark
from benchmarks.speed.corpora import instruments
from benchmarks.speed.generate_contest import (
    BATCH,
    NUM_BEAMS,
    NUM_VIEWS,
    SERVED,
    Contest,
    contest_of,
    share_kept,
    token_generator,
    top_tens,
)
from benchmarks.speed.timing import fastest_in_turn
from clairo_core.build_recommender import build_recommender
from clairo_core.encoders.optional_library import optional_library
from clairo_core.generation.t5.decoder_state import BeamCache, EncodedViews
from clairo_core.generation.t5.generator import Generator
from clairo_core.recommender import Recommender

OURS = "torch, as it is served"
VOCABULARY_SIZE = 10_000
REPEATS, QUICK_REPEATS = 20, 3
NUM_COMPARED = 32
_OPSET = 17


class CompiledGenerator(Generator):
    """Generator whose encoding and step are compiled by torch.compile, for any shapes."""

    def __init__(self, original: Generator) -> None:
        super().__init__(original.config, original.weights)
        self._encode = torch.compile(super().encode, dynamic=True)
        self._step = torch.compile(super().step, dynamic=True)

    def encode(
        self,
        ids: Int[Tensor, "view length"],
        lengths: Int[Tensor, "view"],
        content: Float[Tensor, "view place dim"] | None = None,
    ) -> EncodedViews:
        """As `Generator.encode`."""
        return self._encode(ids, lengths, content)

    def step(
        self,
        tokens: Int[Tensor, "view beam"],
        views: EncodedViews,
        cache: BeamCache,
        parents: Int[Tensor, "view*beam"] | None = None,
    ) -> tuple[Float[Tensor, "view beam d_model"], BeamCache]:
        """As `Generator.step`."""
        return self._step(tokens, views, cache, parents)


class OnnxGenerator(Generator):
    """Generator whose encoding and steps run in ONNX Runtime; torch runs the first step, of one beam per view."""

    def __init__(self, original: Generator, example: tuple[Int[Tensor, "view length"], Int[Tensor, "view"]]) -> None:
        super().__init__(original.config, original.weights)
        self._encoder = _session(_Encoder(original), dict(zip(("ids", "lengths"), example, strict=True)), 2)
        views = original.encode(*example)
        num_views = len(example[0])
        _, cache = original.step(torch.zeros(num_views, 1, dtype=torch.long), views, original.start())
        self._stepper = _session(
            _Stepper(original),
            {
                "tokens": torch.ones(num_views, 3, dtype=torch.long),
                "view_keys_and_values": views.keys_and_values,
                "attention_bias": views.attention_bias,
                "cache": cache.keys_and_values,
                "parents": torch.arange(num_views).repeat_interleave(3),
            },
            2,
        )

    def encode(
        self,
        ids: Int[Tensor, "view length"],
        lengths: Int[Tensor, "view"],
        content: Float[Tensor, "view place dim"] | None = None,
    ) -> EncodedViews:
        """As `Generator.encode`; the exported graph has no input for content."""
        assert content is None
        return EncodedViews(*_run(self._encoder, {"ids": ids, "lengths": lengths}))

    def step(
        self,
        tokens: Int[Tensor, "view beam"],
        views: EncodedViews,
        cache: BeamCache,
        parents: Int[Tensor, "view*beam"] | None = None,
    ) -> tuple[Float[Tensor, "view beam d_model"], BeamCache]:
        """As `Generator.step`."""
        if parents is None:
            return super().step(tokens, views, cache)
        inputs = {
            "tokens": tokens.long(),
            "view_keys_and_values": views.keys_and_values,
            "attention_bias": views.attention_bias,
            "cache": cache.keys_and_values,
            "parents": parents,
        }
        hidden, longer = _run(self._stepper, inputs)
        return hidden, BeamCache(longer)


class _Encoder(torch.nn.Module):
    """The arithmetic of `Generator.encode`; the exporter needs every size read from a shape."""

    def __init__(self, original: Generator) -> None:
        super().__init__()
        self._original = original

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        original = self._original
        num_heads, d_kv = original.config.num_heads, original.config.d_kv
        positions = torch.arange(ids.shape[1])
        is_padding = positions[None, :] >= lengths[:, None]
        padding_bias = torch.where(is_padding, float("-inf"), 0.0)[:, None, None, :]
        reach = original.config.relative_attention_max_distance
        distances = (positions[None, :] - positions[:, None]).clamp(-reach, reach) + reach
        bias = original._encoder_bias_by_distance[:, distances] + padding_bias
        hidden = functional.embedding(ids.reshape(-1), original.weights.token_embeddings)
        for block in original.weights.encoder_blocks:
            projected = functional.linear(original._normed(hidden), block.query_key_value)
            parts = projected.view(ids.shape[0], ids.shape[1], 3, num_heads, d_kv).permute(2, 0, 3, 1, 4)
            scores = torch.matmul(parts[0], parts[1].transpose(-1, -2)) + bias
            attended = torch.matmul(torch.softmax(scores, dim=-1), parts[2])
            attended = attended.transpose(1, 2).reshape(-1, num_heads * d_kv)
            hidden = hidden + functional.linear(attended, block.output)
            original._add_feed_forward(block, hidden)
        projected = functional.linear(original._normed(hidden), original.weights.cross_keys_and_values)
        by_layer = projected.view(ids.shape[0], ids.shape[1], -1, 2, num_heads, d_kv).permute(2, 3, 0, 4, 1, 5)
        num_layers = original.config.num_decoder_layers
        keys_and_values = by_layer.reshape(num_layers, 2, -1, ids.shape[1], d_kv)
        return keys_and_values, padding_bias.expand(-1, num_heads, -1, -1).reshape(-1, 1, ids.shape[1])


class _Stepper(torch.nn.Module):
    """The arithmetic of `Generator.step`, without in-place updates, as a graph requires."""

    def __init__(self, original: Generator) -> None:
        super().__init__()
        self._original = original

    def forward(
        self, tokens: Tensor, view_keys_and_values: Tensor, attention_bias: Tensor, cache: Tensor, parents: Tensor
    ) -> tuple[Tensor, Tensor]:
        original = self._original
        num_heads, d_kv = original.config.num_heads, original.config.d_kv
        earlier = cache[:, :, parents]
        distances = torch.arange(cache.shape[0], -1, -1).clamp(max=original.config.relative_attention_max_distance)
        bias = original._decoder_bias_by_distance[:, distances].T[:, None, :]
        hidden = functional.embedding(tokens.reshape(-1), original.weights.token_embeddings)
        parts = []
        for layer, block in enumerate(original.weights.decoder_blocks):
            projected = functional.linear(original._normed(hidden), block.query_key_value)
            query, new_keys, new_values = projected.view(-1, 3, num_heads, d_kv).unbind(1)
            keys = torch.cat([earlier[:, 2 * layer], new_keys[None]])
            values = torch.cat([earlier[:, 2 * layer + 1], new_values[None]])
            attention = torch.softmax((keys * query).sum(-1) + bias, dim=0)
            attended = (values * attention[..., None]).sum(0)
            hidden = hidden + functional.linear(attended.reshape(-1, num_heads * d_kv), block.output)
            keys_of_views, values_of_views = view_keys_and_values[layer, 0], view_keys_and_values[layer, 1]
            by_head = functional.linear(original._normed(hidden), block.cross_query).view(
                tokens.shape[0], tokens.shape[1], num_heads, d_kv
            )
            by_head = by_head.transpose(1, 2).reshape(keys_of_views.shape[0], tokens.shape[1], d_kv)
            scores = torch.baddbmm(attention_bias, by_head, keys_of_views.transpose(1, 2))
            of_views = torch.bmm(torch.softmax(scores, dim=-1), values_of_views)
            of_views = of_views.view(tokens.shape[0], num_heads, tokens.shape[1], d_kv).transpose(1, 2)
            hidden = hidden + functional.linear(of_views.reshape(-1, num_heads * d_kv), block.cross_output)
            original._add_feed_forward(block, hidden)
            parts += [keys, values]
        shape = (tokens.shape[0], tokens.shape[1], original.config.d_model)
        return original._normed(hidden).view(shape), torch.stack(parts, dim=1)


def _session(network: torch.nn.Module, example: Mapping[str, Tensor], num_outputs: int) -> Any:
    """An ONNX Runtime session of the network; all sizes except the weights' are dynamic."""
    outputs = [f"output_{number}" for number in range(num_outputs)]
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        # The exporter warns of its deprecation and of assumed constants; results are compared below.
        warnings.simplefilter("ignore")
        file = str(Path(folder) / "network.onnx")
        torch.onnx.export(
            network.eval(),
            tuple(example.values()),
            file,
            input_names=list(example),
            output_names=outputs,
            dynamic_axes={
                name: {axis: f"{name}_{axis}" for axis in range(tensor.dim())} for name, tensor in example.items()
            },
            opset_version=_OPSET,
            dynamo=False,
        )
        onnxruntime = optional_library("onnxruntime", "onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _run(session: Any, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    arrays = {name: tensor.contiguous().numpy() for name, tensor in inputs.items()}
    return [torch.from_numpy(array) for array in session.run(None, arrays)]


def like(recommender: Recommender, generator: Generator) -> Recommender:
    """The recommender with another generator."""
    return build_recommender(
        recommender.catalogue,
        recommender.tokenizer,
        generator,
        np.zeros(len(recommender.catalogue), dtype=np.int64),
        num_views=NUM_VIEWS,
        num_beams=NUM_BEAMS,
    )


def engines_of(contest: Contest) -> dict[str, Recommender]:
    """One recommender per engine, by the engine's name."""
    ours = contest.recommenders[SERVED]
    request = contest.requests[0]
    generator = token_generator(ours)
    views = generator.encode_views([(ours.known_rows(request.history), request.seed)], NUM_VIEWS)
    example = torch.from_numpy(views.ids), torch.from_numpy(views.lengths)
    return {
        OURS: ours,
        "ONNX Runtime": like(ours, OnnxGenerator(generator.t5, example)),
        "torch.compile": like(ours, CompiledGenerator(generator.t5)),
    }


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and time each engine."""
    corpus = instruments(("text",))
    with TemporaryDirectory() as folder:
        contest = contest_of(corpus, VOCABULARY_SIZE, Path(folder))
    engines = engines_of(contest)
    table = []
    expected = top_tens(engines[OURS], contest.requests[:NUM_COMPARED])
    for name, recommender in engines.items():
        if name != OURS:
            # The first answers compile, and must agree with ours.
            kept = share_kept(expected, top_tens(recommender, contest.requests[:NUM_COMPARED]))
            table.append(Row(f"{name}: top 10 of {OURS}, kept", kept, "%", "higher", must=99.5))
    for batch_size in (1, BATCH):
        requests = contest.requests[:batch_size]
        repeats = QUICK_REPEATS if quick else REPEATS
        times = fastest_in_turn(
            {name: (partial(recommender.recommend_batch, requests), repeats) for name, recommender in engines.items()}
        )
        table += [Row(f"batch {batch_size}: {name}", 1000 * value, "ms", "lower") for name, value in times.items()]
        table += [
            Row(f"batch {batch_size}: {OURS}, against {name}", value / times[OURS], "x", "higher")
            for name, value in times.items()
            if name != OURS
        ]
    cores = os.cpu_count()
    return f"{corpus.name}, {torch.get_num_threads()} torch thread(s) of {cores} cores; random weights", table


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
