"""Score all items, or walk along a graph of similar ones: time, items visited, and how many of the best are found.

    python -m benchmarks.speed.parallel_graph [--json FILE] [--quick]

Made items have embeddings of 64 dimensions, quantized by OPQ into 16 codes: `even` ones fill a curved space of 10
dimensions, `grouped` ones lie close around 300 centres, so that no edge leaves a group which is larger than a node has
edges. The network is made, too: it expects the next item near the mean of the history, in every codebook on its own. A
history has 8 items that lie near each other. Both sides answer the same requests in turn, one at a time on one thread,
in processor time, because the machine has other work. --quick has 20,000 items in place of 100,000, whose links take
minutes.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from benchmarks.report import Row, run_benchmark
from benchmarks.speed.timing import fastest_in_turn
from clairo_core.catalogue import Catalogue, build_catalogue
from clairo_core.features import collision_capacity, feature_sets_with_collision_index
from clairo_core.generation.parallel.id_graph import code_similarity, fit_links
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.generation.parallel.parallel_generator import ParallelGenerator, code_rows, parallel_generator
from clairo_core.quantizers import OpqQuantizer, fit_opq
from clairo_core.ranking.history_encoder import HistoryEncoder
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary

DIM, NUM_CENTRES, SPREAD, INNER_DIM, NOISE = 64, 300, 0.5, 10, 0.1
NUM_CODEBOOKS, NUM_CENTROIDS = 16, 256
DEGREE, SEARCHES = 50, ((20, 3), (50, 3))
"""Edges of a node; beams and steps."""
NUM_REQUESTS, HISTORY_LENGTH, NEAR, RUNS, TOP = 100, 8, 40, 3, 10
EVEN, GROUPED = "even", "grouped"

Histories: TypeAlias = Sequence[Int64[np.ndarray, "position"]]


class MeanSoFar(HistoryEncoder):
    """A reader whose state is the mean of the item vectors so far."""

    def forward(self, vectors: Float[Tensor, "history position width"]) -> Float[Tensor, "history position width"]:
        """Read the items of each history."""
        return vectors.cumsum(dim=1) / torch.arange(1, vectors.shape[1] + 1)[:, None]


def made_embeddings(kind: str, num_items: int, seed: int) -> Float32[np.ndarray, "item dim"]:
    """Draw items of one kind; equal centres and spaces for every seed."""
    shared, random = np.random.default_rng(0), np.random.default_rng(seed)
    noise = random.standard_normal((num_items, DIM), dtype=np.float32)
    if kind == GROUPED:
        centres = shared.standard_normal((NUM_CENTRES, DIM), dtype=np.float32)
        return centres[random.integers(NUM_CENTRES, size=num_items)] + SPREAD * noise
    directions = shared.standard_normal((INNER_DIM, DIM), dtype=np.float32)
    inner = random.standard_normal((num_items, INNER_DIM), dtype=np.float32)
    return np.asarray(np.sin(inner @ directions / INNER_DIM**0.5) + NOISE * noise)


def made_histories(embeddings: Float32[np.ndarray, "item dim"]) -> Histories:
    """Each from the items nearest to a random one."""
    random = np.random.default_rng(1)
    squares = np.square(embeddings).sum(axis=1)
    of_users = random.choice(len(embeddings), NUM_REQUESTS, replace=False)
    nearest = [np.argpartition(squares - 2 * embeddings @ embeddings[item], NEAR)[:NEAR] for item in of_users]
    return [random.choice(near, HISTORY_LENGTH, replace=False) for near in nearest]


def made_network(quantizer: OpqQuantizer) -> ParallelNetwork:
    """A code's vector is its centroid, in the dimensions of its codebook; every head reads those of its own."""
    subdim = DIM // NUM_CODEBOOKS
    network = ParallelNetwork(
        NetworkSizes(
            num_codebooks=NUM_CODEBOOKS, num_centroids=NUM_CENTROIDS, width=DIM, max_history_items=HISTORY_LENGTH
        )
    )
    network.reader = MeanSoFar(DIM, HISTORY_LENGTH)
    with torch.no_grad():
        network.heads.bias.zero_()
        network.heads.weight.zero_()
        network.code_vectors.zero_()
        for codebook, centroids in enumerate(quantizer.codebooks):
            own = slice(codebook * subdim, (codebook + 1) * subdim)
            network.vectors_by_codebook[codebook, :, own] = torch.from_numpy(centroids)
            network.heads.weight[codebook * DIM : (codebook + 1) * DIM][own, own] = torch.eye(subdim)
    return network.eval()


def made_catalogue(quantizer: OpqQuantizer, embeddings: Float32[np.ndarray, "item dim"]) -> Catalogue:
    """The items' codes, and a collision index."""
    semantic_ids = quantizer.encode(embeddings)
    feature_sets, space = feature_sets_with_collision_index(
        semantic_ids, [NUM_CENTROIDS] * NUM_CODEBOOKS, collision_capacity(semantic_ids)
    )
    nothing = np.zeros(0, dtype=np.int32)
    vocabulary = Vocabulary(space.category_names, space.category_sizes, nothing, nothing, np.zeros(0, dtype=np.int64))
    return build_catalogue([f"item-{row}" for row in range(len(embeddings))], feature_sets, Tokenizer(vocabulary))


def best_rows(generator: ParallelGenerator, histories: Histories, beams: int) -> list[set]:
    """Each history's best items."""
    return [set(generator.generate([history], [0], 1, beams)[0].item_rows[:TOP].tolist()) for history in histories]


def visited_share(generator: ParallelGenerator, histories: Histories, beams: int) -> float:
    """Mean share of the catalogue that a walk visits."""
    graph = generator.graph
    assert graph is not None
    with torch.inference_mode():
        scores = generator.network.code_scores(generator.code_logits_of(histories)).numpy()
    return float(np.mean([len(graph.walk(of_history, 0, beams)[0]) for of_history in scores])) / len(
        generator.catalogue
    )


def rows_of(kind: str, num_items: int, quantizer: OpqQuantizer) -> list[Row]:
    """Measure both sides on a catalogue of this size."""
    embeddings = made_embeddings(kind, num_items, seed=num_items)
    catalogue, network = made_catalogue(quantizer, embeddings), made_network(quantizer)
    histories, name_of_data = made_histories(embeddings), f"{num_items:,} {kind} items"
    started = time.process_time()
    codes = code_rows(catalogue.feature_sets, network.sizes)
    links = fit_links(codes, code_similarity(network.vectors_by_codebook), DEGREE, 1)
    table = [Row(f"{name_of_data}: links, once", time.process_time() - started, "s", "lower")]
    exact = parallel_generator(network, catalogue)
    searched = parallel_generator(network, catalogue, links)
    assert searched.graph is not None
    graphs = {
        (beams, steps): replace(searched, graph=replace(searched.graph, num_steps=steps)) for beams, steps in SEARCHES
    }
    sides = {
        "exact": (partial(best_rows, exact, histories, 50), RUNS),
        **{
            f"graph, {beams} beams, {steps} steps": (partial(best_rows, generator, histories, beams), RUNS)
            for (beams, steps), generator in graphs.items()
        },
    }
    seconds = fastest_in_turn(sides, time.process_time)
    wanted = best_rows(exact, histories, 50)
    for name, of_side in seconds.items():
        table.append(Row(f"{name_of_data}: {name}", 1000 * of_side / NUM_REQUESTS, "ms", "lower"))
    for (beams, steps), generator in graphs.items():
        label = f"{name_of_data}: graph, {beams} beams, {steps} steps"
        found = best_rows(generator, histories, beams)
        share = np.mean([len(ours & best) / TOP for ours, best in zip(found, wanted, strict=True)])
        table.append(Row(f"{label}: of the exact top {TOP}", 100 * float(share), "%", "higher"))
        table.append(Row(f"{label}: visited", 100 * visited_share(generator, histories, beams), "%", "lower"))
    return table


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and measure each size."""
    torch.set_num_threads(1)
    table = []
    for kind in (EVEN, GROUPED):
        sample = made_embeddings(kind, 6000, seed=1)
        quantizer = fit_opq(sample, NUM_CODEBOOKS, NUM_CENTROIDS, num_iterations=2 if quick else 25)
        for num_items in (10_000, 20_000 if quick else 100_000):
            table += rows_of(kind, num_items, quantizer)
    return f"made items of {NUM_CODEBOOKS} codes, {DEGREE} edges each, {NUM_REQUESTS} requests, one thread", table


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
