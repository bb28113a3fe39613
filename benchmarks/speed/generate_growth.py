"""Measure time and memory as the catalogue grows from a thousand to a million items, and histories to 200 items.

    python -m benchmarks.speed.generate_growth [--json FILE] [--quick]

Made items have four random codes of 256 values each and no merges, which gives the widest tries. The T5 has the
published shape and random weights. Exponents are slopes in log-log scale: 0 is constant cost, 1 linear growth. Memory
is the process's increase, from Linux's /proc. --quick stops at 100,000 items.
"""

import dataclasses
import gc
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Int32

from benchmarks.memory import resident_mib
from benchmarks.report import Row, run_benchmark
from benchmarks.speed.generate_contest import MAX_HISTORY_ITEMS, NUM_BEAMS, NUM_VIEWS, random_t5
from benchmarks.speed.timing import timed
from clairo_core.build_recommender import build_recommender
from clairo_core.catalogue import build_catalogue
from clairo_core.generation.t5.generator import Generator, load_generator
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary

CATEGORY_SIZES = (256, 256, 256, 256)
LARGEST = 1_000_000
NUM_ADDED = 7
NUM_REQUESTS = 7
HISTORY_LENGTHS = (1, 5, 20, 50, 100, 200)
HISTORY_CATALOGUE = 10_000
EXACT_SIZES = (100, 300, 1000, 3000, 10_000)


def made_vocabulary() -> Vocabulary:
    """A vocabulary of single features, without merges."""
    nothing = np.zeros(0, dtype=np.int32)
    names = tuple(f"code_{category}" for category in range(len(CATEGORY_SIZES)))
    return Vocabulary(names, CATEGORY_SIZES, nothing, nothing, np.zeros(0, dtype=np.int64))


def made_feature_sets(num_items: int) -> Int32[np.ndarray, "item category"]:
    """Draw distinct feature sets, in random order."""
    random = np.random.default_rng(0)
    feature_sets = np.unique(random.integers(256, size=(num_items + num_items // 10, 4), dtype=np.int32), axis=0)
    return random.permutation(feature_sets)[:num_items]


def collected_mib() -> float:
    """Resident memory of this process after garbage collection."""
    gc.collect()
    return resident_mib([os.getpid()])


def median_ms(calls: Sequence[Callable[[], object]]) -> float:
    """Median milliseconds of the calls, after a warm-up."""
    calls[0]()
    return 1000 * statistics.median(timed(call)[1] for call in calls)


def requests_of(num_items: int, length: int) -> list[RecommendationRequest]:
    """Requests with histories of random items."""
    rows = np.random.default_rng(1).integers(num_items, size=(NUM_REQUESTS, length))
    return [
        RecommendationRequest(history=UserHistory(tuple(f"item-{row}" for row in history)), limit=10)
        for history in rows.tolist()
    ]


def exponent_row(name: str, sizes: Sequence[int], values: Sequence[float]) -> Row:
    """Slope of values by sizes in log-log scale."""
    return Row(f"{name}: exponent", float(np.polyfit(np.log(sizes), np.log(values), 1)[0]), "", "lower")


def catalogue_rows(generator: Generator, tokenizer: Tokenizer, sizes: Sequence[int]) -> list[Row]:
    """Time of a request and of adding an item, and memory, by the number of items."""
    rows, request_ms, added_ms, memory = [], [], [], []
    for num_items in sizes:
        feature_sets = made_feature_sets(num_items + NUM_ADDED)
        before = collected_mib()
        item_ids = [f"item-{row}" for row in range(num_items)]
        recommender = build_recommender(
            build_catalogue(item_ids, feature_sets[:num_items], tokenizer),
            tokenizer,
            generator,
            np.ones(num_items, dtype=np.int64),
            num_views=NUM_VIEWS,
            num_beams=NUM_BEAMS,
        )
        memory.append(collected_mib() - before)
        requests = requests_of(num_items, MAX_HISTORY_ITEMS)
        calls = [partial(recommender.recommend_batch, [request]) for request in requests]
        request_ms.append(median_ms(calls))
        times = []
        for row in range(num_items, num_items + NUM_ADDED):
            recommender, seconds = timed(partial(with_item, recommender, f"item-{row}", feature_sets[row].tolist()))
            times.append(seconds)
        added_ms.append(1000 * statistics.median(times))
        goal = 50.0 if num_items == LARGEST else None
        rows += [
            Row(f"{num_items:,} items: one request", request_ms[-1], "ms", "lower"),
            Row(f"{num_items:,} items: adding an item", added_ms[-1], "ms", "lower", goal),
            Row(f"{num_items:,} items: catalogue and trie", memory[-1], "MiB", "lower"),
        ]
    rows.append(exponent_row("one request by items", sizes, request_ms))
    # A thousand items take less memory than one step of the allocator.
    rows.append(exponent_row("memory by items", sizes[1:], memory[1:]))
    rows.append(exponent_row("adding an item by items", sizes, added_ms))
    return rows


def with_item(recommender: Recommender, item_id: str, feature_set: Sequence[int]) -> Recommender:
    """Add one item."""
    return recommender.with_catalogue(recommender.catalogue.with_item(item_id, feature_set, recommender.tokenizer))


def exact_rows(generator: Generator, tokenizer: Tokenizer) -> list[Row]:
    """Cost of scoring every item of a small catalogue exactly, by beams as wide as the catalogue."""
    rows = []
    for num_items in EXACT_SIZES:
        catalogue = build_catalogue(
            [f"item-{row}" for row in range(num_items)], made_feature_sets(num_items), tokenizer
        )
        requests = requests_of(num_items, MAX_HISTORY_ITEMS)
        times = []
        for num_beams in (NUM_BEAMS, num_items):
            recommender = build_recommender(
                catalogue,
                tokenizer,
                generator,
                np.ones(num_items, dtype=np.int64),
                num_views=NUM_VIEWS,
                num_beams=num_beams,
            )
            times.append(median_ms([partial(recommender.recommend_batch, [request]) for request in requests]))
        rows.append(Row(f"{num_items:,} items: every item scored, against beams", times[1] / times[0], "x", "lower"))
    return rows


def history_rows(generator: Generator, tokenizer: Tokenizer) -> list[Row]:
    """Time of a request by the length of its history."""
    recommender = build_recommender(
        build_catalogue(
            [f"item-{row}" for row in range(HISTORY_CATALOGUE)], made_feature_sets(HISTORY_CATALOGUE), tokenizer
        ),
        tokenizer,
        generator,
        np.ones(HISTORY_CATALOGUE, dtype=np.int64),
        num_views=NUM_VIEWS,
        num_beams=NUM_BEAMS,
        max_history_items=max(HISTORY_LENGTHS),
    )
    times = []
    for length in HISTORY_LENGTHS:
        requests = requests_of(HISTORY_CATALOGUE, length)
        times.append(median_ms([partial(recommender.recommend_batch, [request]) for request in requests]))
    rows = [
        Row(f"history of {length}: one request", value, "ms", "lower")
        for length, value in zip(HISTORY_LENGTHS, times, strict=True)
    ]
    rows.append(exponent_row("one request by history, all", HISTORY_LENGTHS, times))
    rows.append(exponent_row("one request by history, from 50", HISTORY_LENGTHS[3:], times[3:]))
    return rows


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and measure all three growths."""
    vocabulary = made_vocabulary()
    with TemporaryDirectory() as folder:
        random_t5(vocabulary.size).save_pretrained(folder)
        generator = load_generator(Path(folder), "cpu")
    generator = Generator(dataclasses.replace(generator.config, softmax=Softmax.REACHABLE), generator.weights)
    tokenizer = Tokenizer(vocabulary)
    sizes = [1000, 10_000, 100_000] if quick else [1000, 10_000, 100_000, LARGEST]
    table = [
        *catalogue_rows(generator, tokenizer, sizes),
        *exact_rows(generator, tokenizer),
        *history_rows(generator, tokenizer),
    ]
    return f"made items; {torch.get_num_threads()} torch thread(s)", table


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
