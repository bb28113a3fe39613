"""Time one decoder step beside the device's limit.

A step is recorded as a graph and timed by the device's events, so only the device counts. Its floor is the larger of
two times: its bytes over the rate of a large copy, and its operations over the rate of a large matrix product of the
same type, both measured here.
"""

import statistics
from collections.abc import Callable, Iterator
from functools import partial

import torch

from benchmarks.gpu.run_parts import Measured
from benchmarks.speed.generate_contest import NUM_BEAMS, NUM_VIEWS
from benchmarks.speed.timing import timed
from clairo_core.generation.recorded.cuda_graphs import CudaRecorder
from clairo_core.generation.t5.generator import Generator

STEP_VIEWS = 64 * NUM_VIEWS
STEP_LENGTH = 32
STEP_DEPTH = 2
"""Tokens of each beam before the timed step."""


def seconds_on(device: torch.device, call: Callable[[], object], repeats: int) -> float:
    """Median time of a call by the device's events, or by the host's clock if it has none."""
    call()
    times = []
    for _ in range(repeats):
        if device.type == "cuda":
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            begin.record()
            call()
            end.record()
            end.synchronize()
            times.append(float(begin.elapsed_time(end)) / 1000)
        else:
            times.append(timed(call)[1])
    return statistics.median(times)


def copy_rate(device: torch.device, num_bytes: int = 1 << 30) -> float:
    """Bytes per second that a large copy on the device reads and writes."""
    source = torch.randint(256, (num_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2.0 * num_bytes / seconds_on(device, partial(target.copy_, source), 10)


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int = 8192) -> float:
    """Operations per second of a large matrix product."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2.0 * size**3 / seconds_on(device, partial(torch.mm, left, right), 10)


def work_of_step(generator: Generator, num_views: int, num_beams: int, length: int, depth: int) -> tuple[float, float]:
    """Minimal operations and bytes of one decoder step, without the scores of tokens.

    Weights, and keys and values of views and beams, are read once. The beams' keys and values are written once, also to
    the step's cache. Hidden states are read and written once.
    """
    config, size = generator.config, generator.weights.token_embeddings.element_size()
    num_rows, inner = num_views * num_beams, config.num_heads * config.d_kv
    num_weights = sum(
        matrix.numel()
        for block in generator.weights.decoder_blocks
        for matrix in (
            block.query_key_value,
            block.output,
            block.cross_query,
            block.cross_output,
            block.feed_forward_in,
            block.feed_forward_out,
        )
    )
    of_attention = config.num_decoder_layers * 2 * inner * (length + depth + 1)
    operations = 2.0 * num_rows * (num_weights + of_attention)
    keys_and_values = 2 * config.num_decoder_layers * inner
    cached = num_rows * (2 * depth + 1) * keys_and_values
    hidden_bytes = 2 * 4 * num_rows * config.d_model
    return operations, size * (num_weights + num_views * length * keys_and_values + cached) + float(hidden_bytes)


def step_rows(
    generator: Generator, num_views: int = STEP_VIEWS, *, copied: float, multiplied: float
) -> Iterator[Measured]:
    """Time of one decoder step beside its floor; `copied` is in bytes per second, `multiplied` in operations."""
    device = generator.device
    took = seconds_on(device, decoder_step(generator, num_views), 20)
    operations, num_bytes = work_of_step(generator, num_views, NUM_BEAMS, STEP_LENGTH, STEP_DEPTH)
    name = f"one step of the search, {str(generator.dtype).removeprefix('torch.')}"
    yield name, took * 1000
    yield f"{name}: floor of bytes", num_bytes / copied * 1000
    yield f"{name}: floor of operations", operations / multiplied * 1000
    yield f"{name}: against its floor", took / max(num_bytes / copied, operations / multiplied)


@torch.inference_mode()
def decoder_step(generator: Generator, num_views: int) -> Callable[[], object]:
    """A call that repeats one step of `NUM_BEAMS` beams per view, as a graph on a GPU."""
    device, config = generator.device, generator.config
    ids = torch.randint(2, config.vocab_size, (num_views, STEP_LENGTH), device=device)
    views = generator.encode(ids, torch.full((num_views,), STEP_LENGTH, device=device))
    tokens = torch.randint(2, config.vocab_size, (num_views, NUM_BEAMS), device=device)
    cache = generator.start()
    first = torch.arange(num_views, device=device).repeat_interleave(NUM_BEAMS)
    _, cache = generator.step(tokens[:, :1], views, cache)
    for _ in range(STEP_DEPTH - 1):
        _, cache = generator.step(tokens, views, cache, first)
        first = torch.arange(num_views * NUM_BEAMS, device=device)

    @torch.inference_mode()
    def step() -> None:
        generator.step(tokens, views, cache, first)

    return CudaRecorder(device).record(step) if device.type == "cuda" else step
