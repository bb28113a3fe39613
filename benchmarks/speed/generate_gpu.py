"""Time requests on a CUDA GPU, one alone and many at once, and one decoder step beside the device's limit.

    python -m benchmarks.speed.generate --device cuda [--json FILE] [--quick]

The setup is that of `speed.generate`, on the GPU. A request is timed from history to ranked items by the host's clock,
as its answer is on the host. A step is recorded as a graph and timed by the device's events, so only the device counts.
Its floor is the larger of two times: its bytes over the rate of a large copy, and its operations over the rate of a
large matrix product of the same type, both measured here. The CPU's answers are the reference for the GPU's.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.report import Row
from benchmarks.speed.corpora import instruments
from benchmarks.speed.generate_contest import (
    HALF,
    NUM_BEAMS,
    NUM_VIEWS,
    SERVED,
    WHOLE,
    Contest,
    contest_of,
    share_kept,
    token_generator,
    top_tens,
)
from benchmarks.speed.timing import timed
from clairo_core.build_recommender import build_recommender
from clairo_core.generation.recorded.cuda_graphs import CudaRecorder
from clairo_core.generation.t5.generator import Generator
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender

NOT_MEASURED = "not measured: no GPU"
BATCHES = (64, 512)
STEP_VIEWS = 64 * NUM_VIEWS
STEP_LENGTH = 32
STEP_DEPTH = 2
"""Tokens of each beam before the timed step."""
GOALS: dict[str, tuple[float, float]] = {"one request, p50": (5.0, 2.0), "512 at once": (5_000.0, 20_000.0)}
"""Must and aim, as the issue sets them for the served mode."""


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
    label: str, generator: Generator, num_views: int = STEP_VIEWS, *, copied: float, multiplied: float
) -> list[Row]:
    """Time of one decoder step beside its floor; `copied` is in bytes per second, `multiplied` in operations."""
    device, config = generator.device, generator.config
    with torch.inference_mode():
        ids = torch.randint(2, config.vocab_size, (num_views, STEP_LENGTH), device=device)
        views = generator.encode(ids, torch.full((num_views,), STEP_LENGTH, device=device))
        tokens = torch.randint(2, config.vocab_size, (num_views, NUM_BEAMS), device=device)
        cache = generator.start()
        first = torch.arange(num_views, device=device).repeat_interleave(NUM_BEAMS)
        _, cache = generator.step(tokens[:, :1], views, cache)
        for _ in range(STEP_DEPTH - 1):
            _, cache = generator.step(tokens, views, cache, first)
            first = torch.arange(num_views * NUM_BEAMS, device=device)
        call: Callable[[], object] = partial(generator.step, tokens, views, cache, first)
        if device.type == "cuda":
            stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                call()
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                call()
            call = graph.replay
        took = seconds_on(device, call, 20)
    operations, num_bytes = work_of_step(generator, num_views, NUM_BEAMS, STEP_LENGTH, STEP_DEPTH)
    floor = max(num_bytes / copied, operations / multiplied)
    title = f"{label}: one step of {num_views} views x {NUM_BEAMS} beams"
    return [
        Row(title, took * 1000, "ms", "lower"),
        Row(f"{title}, floor of bytes", num_bytes / copied * 1000, "ms", "lower"),
        Row(f"{title}, floor of operations", operations / multiplied * 1000, "ms", "lower"),
        Row(f"{title}, against its floor", took / floor, "x", "lower"),
    ]


def latency_rows(
    label: str, recommender: Recommender, requests: Sequence[RecommendationRequest], repeats: int
) -> list[Row]:
    """Latency of one request alone."""
    recommender.recommend_batch(requests[:1])
    times = []
    for turn in range(repeats):
        times.append(1000 * timed(partial(recommender.recommend_batch, [requests[turn % len(requests)]]))[1])
    must, aim = GOALS["one request, p50"] if SERVED in label else (None, None)
    p50, p99 = np.percentile(times, [50, 99])
    return [
        Row(f"{label}: one request, p50", float(p50), "ms", "lower", must, aim),
        Row(f"{label}: one request, p99", float(p99), "ms", "lower"),
    ]


def throughput_rows(
    label: str, recommender: Recommender, requests: Sequence[RecommendationRequest], repeats: int
) -> list[Row]:
    """Throughput of many requests at once, each with its own views."""
    rows = []
    for size in BATCHES:
        batch = [replace(requests[place % len(requests)], seed=place) for place in range(size)]
        recommender.recommend_batch(batch)
        times = [timed(partial(recommender.recommend_batch, batch))[1] for _ in range(repeats)]
        must, aim = GOALS.get(f"{size} at once", (None, None)) if SERVED in label else (None, None)
        rate = size / statistics.median(times)
        rows.append(Row(f"{label}: {size} at once", rate, "requests/s", "higher", must, aim))
    return rows


def contest_rows(on_gpu: Contest, on_cpu: Contest, quick: bool) -> list[Row]:
    """Latency and throughput of each mode of one vocabulary, and its agreement with the CPU."""
    rows: list[Row] = []
    for name in (SERVED, HALF, WHOLE):
        recommender, label = on_gpu.recommenders[name], f"{on_gpu.label}, {name}"
        rows += latency_rows(label, recommender, on_gpu.requests, 50 if quick else 1000)
        rows += throughput_rows(label, recommender, on_gpu.requests, 3 if quick else 11)
    served = on_gpu.recommenders[SERVED]
    like_it = partial(
        build_recommender,
        served.catalogue,
        served.tokenizer,
        token_generator(served).t5,
        np.zeros(len(served.catalogue), dtype=np.int64),
        num_views=NUM_VIEWS,
        num_beams=NUM_BEAMS,
        max_history_items=served.max_history_items,
    )
    recorded, took = timed(lambda: like_it(recorder=CudaRecorder(served.generator.device)))
    recording = token_generator(recorded).recorded_search
    num_recorded = len(recording.recorded) if recording else 0
    rows.append(Row(f"{on_gpu.label}: recorded batch sizes", num_recorded, "", "higher", must=1))
    rows.append(Row(f"{on_gpu.label}: time to record them", took, "s", "lower"))
    stepwise = like_it()
    rows += latency_rows(f"{on_gpu.label}, without graphs", stepwise, on_gpu.requests, 10 if quick else 100)
    same = share_kept(top_tens(on_cpu.recommenders[SERVED], on_gpu.requests), top_tens(served, on_gpu.requests))
    rows.append(Row(f"{on_gpu.label}: the CPU's top 10 found on the GPU", same, "%", "higher", must=99.0, aim=99.9))
    return rows


def rows_on_gpu(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and measure; without a GPU there are no rows."""
    if not torch.cuda.is_available():
        return NOT_MEASURED, []
    device, corpus = torch.device("cuda"), instruments(("text",))
    rates = {dtype: matmul_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    copied = copy_rate(device)
    table = [Row("large copy", copied / 1e9, "GB/s", "higher")]
    table += [Row(f"large product, {dtype}", rate / 1e12, "Tops/s", "higher") for dtype, rate in rates.items()]
    for vocabulary_size in (10_000, 40_000):
        with TemporaryDirectory() as folder:
            on_cpu = contest_of(corpus, vocabulary_size, Path(folder))
        with TemporaryDirectory() as folder:
            on_gpu = contest_of(corpus, vocabulary_size, Path(folder), "cuda")
        table += contest_rows(on_gpu, on_cpu, quick)
    for name in (SERVED, HALF):
        generator = token_generator(on_gpu.recommenders[name]).t5
        table += step_rows(name, generator, copied=copied, multiplied=rates[generator.dtype])
    table.append(Row("peak GPU memory", torch.cuda.max_memory_reserved() / (1 << 30), "GiB", "lower"))
    return f"{corpus.name}; {torch.cuda.get_device_name()}, torch {torch.__version__}", table
