"""Measure generating on a GPU: answers beside the CPU's, rates, and the search as CUDA graphs.

Made catalogues of both presets, and the published T5 on Instruments (else a made corpus). A request is timed from
history to ranked items by the host's clock, as its answer is on the host. The CPU has one thread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.gpu.checklist import AT_ONCE, PARALLEL, PUBLISHED, TOKEN, Setup, catalogue_name
from benchmarks.gpu.device import per_second, percentile_ms, recorder_of, seconds_of
from benchmarks.gpu.roofline import copy_rate, matmul_rate, step_rows
from benchmarks.gpu.run_parts import Measured, Step
from benchmarks.speed.corpora import instruments
from benchmarks.speed.generate_contest import HALF, SERVED, contest_of, share_kept, token_generator, top_tens
from benchmarks.speed.made_recommenders import NUM_CENTROIDS, NUM_CODES, made_recommender, made_requests
from benchmarks.speed.timing import timed
from clairo_core.build_recommender import build_recommender
from clairo_core.generation.recorded.cuda_graphs import CudaRecorder, Recorder
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.serving_points import BALANCED

NUM_ADDED = 8
"""New items, after which a recorded search must still be right."""
HUNDREDS_AT_ONCE = 512


def steps(setup: Setup) -> list[Step]:
    """What this part measures, in order."""
    torch.set_num_threads(1)
    of_catalogues: list[Step] = [
        partial(catalogue_figures, setup, preset, num_items)
        for preset in (PARALLEL, TOKEN)
        for num_items in setup.catalogue_sizes
    ]
    return of_catalogues if setup.is_small else [*of_catalogues, partial(published_figures, setup)]


def catalogue_figures(setup: Setup, preset: str, num_items: int) -> Iterator[Measured]:
    """Agreement and rates of a made catalogue."""
    name, seconds, batch = catalogue_name(preset, num_items), setup.seconds, made_requests(num_items, AT_ONCE)
    on_cpu, on_device = made_recommender(preset, num_items), recommender_on(setup.device, preset, num_items)
    generates_on_cpu, generates = on_cpu.ranked_by(None), on_device.ranked_by(None)
    yield f"{name}: the CPU's top 10, found", share_kept(top_tens(on_cpu, batch), top_tens(on_device, batch))
    expected, found = top_tens(generates_on_cpu, batch), top_tens(generates, batch)
    yield f"{name}: the CPU's top 10 of the generator, found", share_kept(expected, found)
    difference = largest_difference(generates_on_cpu, generates, batch)
    yield f"{name}: largest difference of a log-probability", difference
    yield from latency(name, on_device, batch, seconds)
    for which, slow, fast in (("", on_cpu, on_device), ("generator, ", generates_on_cpu, generates)):
        rate = rate_of(fast, batch, seconds)
        yield f"{name}: {which}{AT_ONCE} at once", rate
        yield f"{name}: {which}{AT_ONCE} at once, times a CPU thread", rate / rate_of(slow, batch, seconds)
    del on_cpu, generates_on_cpu
    in_half = recommender_on(setup.device, preset, num_items, "bfloat16").ranked_by(None)
    kept = share_kept(found, top_tens(in_half, batch))
    yield f"{name}: float32's top 10 of the generator, kept by bfloat16", kept
    yield f"{name}: generator in bfloat16, {AT_ONCE} at once", rate_of(in_half, batch, seconds)
    if preset == TOKEN:
        random = np.random.default_rng(0)
        codes = random.integers(NUM_CENTROIDS, size=(NUM_ADDED, NUM_CODES[preset])).tolist()
        # A collision index of 0 follows the codes.
        yield from graph_figures(name, setup, generates, batch, [[*of_item, 0] for of_item in codes])


def recommender_on(device: str, preset: str, num_items: int, dtype: str = "float32") -> Recommender:
    """A made recommender as it is served: on a GPU its search is recorded."""
    recorder = CudaRecorder(torch.device(device)) if device == "cuda" else None
    return made_recommender(preset, num_items, device=device, dtype=dtype, recorder=recorder)


def largest_difference(expected: Recommender, found: Recommender, requests: Sequence[RecommendationRequest]) -> float:
    """Of the log-probabilities of items that both list."""
    differences = []
    for one, other in zip(expected.recommend_batch(requests), found.recommend_batch(requests), strict=True):
        score_of = {entry.item_id: entry.score for entry in one.items}
        differences += [
            abs(entry.score - score_of[entry.item_id]) for entry in other.items if entry.item_id in score_of
        ]
    # Not a number if one of them is.
    return float(np.max(differences)) if differences else float("inf")


def latency(
    name: str, recommender: Recommender, requests: Sequence[RecommendationRequest], seconds: float
) -> Iterator[Measured]:
    """Median and 99th percentile of one request alone, in turn."""
    turns = iter(range(10**9))
    times = seconds_of(lambda: recommender.recommend_batch([requests[next(turns) % len(requests)]]), seconds)
    yield f"{name}: one request, p50", percentile_ms(times, 50)
    yield f"{name}: one request, p99", percentile_ms(times, 99)


def rate_of(recommender: Recommender, batch: Sequence[RecommendationRequest], seconds: float) -> float:
    """Requests per second of a batch."""
    return per_second(partial(recommender.recommend_batch, batch), len(batch), seconds)


def graph_figures(
    name: str,
    setup: Setup,
    recommender: Recommender,
    batch: Sequence[RecommendationRequest],
    added: Sequence[Sequence[int]],
) -> Iterator[Measured]:
    """The recorded search beside the plain one, and after new items of the feature sets `added`."""
    plain = like(recommender, None)
    recorded, took = timed(lambda: like(recommender, recorder_of(recommender.generator.device)))
    recording = token_generator(recorded).recorded_search
    yield f"{name}: recorded sizes of batches", len(recording.recorded) if recording else 0
    yield f"{name}: time to record them", took
    expected = top_tens(plain, batch)
    yield f"{name}: top 10 of the plain search, found by graphs", share_kept(expected, top_tens(recorded, batch))
    longer, took = timed(lambda: with_items(recorded, added))
    expected = top_tens(with_items(plain, added), batch)
    yield f"{name}: the same after new items", share_kept(expected, top_tens(longer, batch))
    yield f"{name}: time to add them", took
    alone = {
        side: percentile_ms(seconds_of(partial(side.recommend_batch, batch[:1]), setup.seconds), 50)
        for side in (plain, recorded)
    }
    yield f"{name}: one request by the plain search, p50", alone[plain]
    yield f"{name}: one request, graphs, times the plain search", alone[plain] / alone[recorded]
    rates = {side: rate_of(side, batch, setup.seconds) for side in (plain, recorded)}
    yield f"{name}: {AT_ONCE} at once, graphs, times the plain search", rates[recorded] / rates[plain]


def like(recommender: Recommender, recorder: Recorder | None) -> Recommender:
    """The generator of a recommender alone, its search recorded or not."""
    point = recommender.points[BALANCED]
    return build_recommender(
        recommender.catalogue,
        recommender.tokenizer,
        token_generator(recommender).t5,
        np.zeros(len(recommender.catalogue), dtype=np.int64),
        num_views=point.num_views,
        num_beams=point.num_beams,
        max_history_items=recommender.max_history_items,
        recorder=recorder,
    )


def with_items(recommender: Recommender, feature_sets: Sequence[Sequence[int]]) -> Recommender:
    """Add items of these feature sets."""
    catalogue = recommender.catalogue
    for number, feature_set in enumerate(feature_sets):
        catalogue = catalogue.with_item(f"added-{number}", feature_set, recommender.tokenizer)
    return recommender.with_catalogue(catalogue)


def published_figures(setup: Setup) -> Iterator[Measured]:
    """The published T5: agreement, latency, rates, graphs, and a step beside the device's limit."""
    device, corpus = torch.device(setup.device), instruments(("text",))
    with TemporaryDirectory() as folder:
        on_cpu = contest_of(corpus, 10_000, Path(folder))
    with TemporaryDirectory() as folder:
        on_device = contest_of(corpus, 10_000, Path(folder), setup.device)
    requests, served, in_half = on_device.requests, on_device.recommenders[SERVED], on_device.recommenders[HALF]
    top = top_tens(served, requests)
    yield f"{PUBLISHED}: the CPU's top 10, found", share_kept(top_tens(on_cpu.recommenders[SERVED], requests), top)
    yield f"{PUBLISHED}: float32's top 10, kept by bfloat16", share_kept(top, top_tens(in_half, requests))
    for name, recommender in ((PUBLISHED, served), (f"{PUBLISHED} in bfloat16", in_half)):
        yield from latency(name, recommender, requests, setup.seconds)
        for size in (AT_ONCE, HUNDREDS_AT_ONCE):
            batch = [replace(requests[place % len(requests)], seed=place) for place in range(size)]
            yield f"{name}: {size} at once", rate_of(recommender, batch, setup.seconds)
    batch = [replace(requests[place % len(requests)], seed=place) for place in range(AT_ONCE)]
    yield from graph_figures(PUBLISHED, setup, served, batch, unused_feature_sets(served))
    copied = copy_rate(device)
    yield "large copy", copied / 1e9
    for recommender in (served, in_half):
        generator = token_generator(recommender).t5
        multiplied = matmul_rate(device, generator.dtype)
        yield f"large product, {str(generator.dtype).removeprefix('torch.')}", multiplied / 1e12
        yield from step_rows(generator, copied=copied, multiplied=multiplied)
    if setup.device == "cuda":
        yield "peak GPU memory of generating", torch.cuda.max_memory_reserved() / (1 << 30)


def unused_feature_sets(recommender: Recommender) -> list[list[int]]:
    """Feature sets near those of the first items that no item has: one more in the collision index."""
    feature_sets = recommender.catalogue.feature_sets
    sizes = recommender.tokenizer.vocabulary.category_sizes
    taken = {tuple(of_item) for of_item in feature_sets.tolist()}
    unused: list[list[int]] = []
    for codes in np.unique(feature_sets[:, :-1], axis=0).tolist():
        free = [index for index in range(sizes[-1]) if (*codes, index) not in taken]
        if free and len(unused) < NUM_ADDED:
            unused.append([*codes, free[0]])
    return unused
