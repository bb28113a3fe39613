"""Processor time of an answer, alone and in batches, from a thousand to a million items.

    python -m benchmarks.speed.answers [--json FILE] [--quick] [--preset NAME]

Made recommenders of both presets answer requests with histories of 10 items, seen ones masked, at the views and beams
that training chooses; one thread. Sides of one size take turns. Where an index finds the dense heads' candidates, its
recall against all products is a row, and how far its estimate of the sum over all items is off. Searches of before,
3 and 5 views of 50 beams, take turns with the chosen ones at 10,000 items. --quick stops at 100,000 items.
"""

import sys
import time
from argparse import ArgumentParser
from functools import partial

import numpy as np
import torch
from jaxtyping import Int64

from benchmarks.report import Row, run_benchmark
from benchmarks.speed.made_recommenders import PARALLEL, TOKEN, made_recommender, made_requests
from benchmarks.speed.timing import fastest_in_turn
from clairo_core.ranking import DenseHeads
from clairo_core.ranking.allowed_items import all_but
from clairo_core.ranking.joint_ranking import NUM_DENSE_CANDIDATES
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender

SIZES, QUICK_SIZES = (1000, 10_000, 100_000, 1_000_000), (1000, 10_000, 100_000)
BATCHES, NUM_REQUESTS, RUNS = (1, 4, 16, 64), 64, 4
MUSTS = {10_000: 10.0, 1_000_000: 40.0}
AIMS = {10_000: 5.0, 1_000_000: 20.0}
"""Milliseconds of a single request."""
NUM_COMPARED = 32
"""Requests, for recall."""
LEAST_GAIN = 2.5
"""Of 16 requests at once over one by one."""
SEARCHES = {"1 x 20": (1, 20), "3 x 50": (3, 50), "5 x 50": (5, 50)}
"""Views and beams: chosen now, of tables and preset before, of the service before."""


def answer(recommender: Recommender, requests: list[RecommendationRequest], at_once: int) -> None:
    """Answer all requests, so many in one batch."""
    for start in range(0, len(requests), at_once):
        recommender.recommend_batch(requests[start : start + at_once])


def size_rows(preset: str, num_items: int, runs: int) -> list[Row]:
    """Time of a request by the size of its batch."""
    recommender, requests = made_recommender(preset, num_items), made_requests(num_items, NUM_REQUESTS)
    answer(recommender, requests[:16], 16)
    seconds = fastest_in_turn(
        {str(batch): (partial(answer, recommender, requests, batch), runs) for batch in BATCHES}, time.process_time
    )
    name = f"{preset}, {num_items:,} items"
    ms = {batch: 1000 * seconds[str(batch)] / NUM_REQUESTS for batch in BATCHES}
    table = [Row(f"{name}: alone", ms[1], "ms", "lower", MUSTS.get(num_items), AIMS.get(num_items))]
    table += [Row(f"{name}: {batch} at once, each", ms[batch], "ms", "lower") for batch in BATCHES[1:]]
    table.append(Row(f"{name}: 16 at once over alone", ms[1] / ms[16], "x", "higher", LEAST_GAIN))
    assert recommender.joint_ranking is not None
    heads = recommender.joint_ranking.dense_heads
    if heads.index is not None:
        histories = [recommender.known_rows(request.history) for request in requests[:NUM_COMPARED]]
        table += index_rows(name, heads, histories)
    return table


def search_rows(num_items: int, runs: int) -> list[Row]:
    """Time of a request by views and beams, beside the parallel generator's."""
    recommenders = {f"{TOKEN}, {name}": made_recommender(TOKEN, num_items, search) for name, search in SEARCHES.items()}
    recommenders[PARALLEL] = made_recommender(PARALLEL, num_items)
    requests = made_requests(num_items, NUM_REQUESTS)
    for recommender in recommenders.values():
        answer(recommender, requests[:4], 1)
    seconds = fastest_in_turn(
        {name: (partial(answer, recommender, requests, 1), runs) for name, recommender in recommenders.items()},
        time.process_time,
    )
    return [
        Row(f"{name}: alone, {num_items:,} items, in turn", 1000 * taken / NUM_REQUESTS, "ms", "lower")
        for name, taken in seconds.items()
    ]


def index_rows(name: str, heads: DenseHeads, histories: list[Int64[np.ndarray, "position"]]) -> list[Row]:
    """Compare an index with all products."""
    kept: dict[int, list[float]] = {10: [], NUM_DENSE_CANDIDATES: []}
    errors = []
    everything = all_but(np.zeros(0, dtype=np.int64), heads.num_items)
    num_best = [NUM_DENSE_CANDIDATES] * len(histories)
    exact = DenseHeads(heads.heads).scores(histories, num_best)
    for found, expected in zip(heads.scores(histories, num_best), exact, strict=True):
        for count, shares in kept.items():
            ours, best = (set(side.best(count, 0, everything, None)[0].tolist()) for side in (found, expected))
            shares.append(100 * len(ours & best) / count)
        row = expected.best(1, 0, everything, None)[0]
        errors.append(abs(float((found.of(row) - expected.of(row))[0])))
    table = [
        Row(f"{name}: of the dense heads' {count} best, found", float(np.mean(shares)), "%", "higher")
        for count, shares in kept.items()
    ]
    table.append(Row(f"{name}: log-probabilities off by", float(np.mean(errors)), "", "lower"))
    return table


def rows(quick: bool, preset: str | None) -> tuple[str, list[Row]]:
    """Describe the data, and measure each size."""
    torch.set_num_threads(1)
    table = []
    for name in (PARALLEL, TOKEN) if preset is None else (preset,):
        sizes = QUICK_SIZES if quick else SIZES
        of_preset = [size_rows(name, num_items, RUNS) for num_items in sizes]
        table += [row for of_size in of_preset for row in of_size]
        alone = np.array([of_size[0].value for of_size in of_preset[1:]], dtype=np.float64)
        slope = np.polyfit(np.log(sizes[1:]), np.log(alone), 1)[0]
        table.append(Row(f"{name}: growth of an answer from 10,000 items, exponent", float(slope), "", "lower", 0.35))
    if preset is None:
        table += search_rows(SIZES[1], RUNS)
    return f"made items, {NUM_REQUESTS} requests, processor time on one thread", table


def flags() -> ArgumentParser:
    """The benchmark's own flags."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--preset", choices=(PARALLEL, TOKEN), help="this preset alone")
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
