"""Time a request from history to ranked items, beside transformers' generate and the published loop, in one process.

    python -m benchmarks.speed.generate [--json FILE] [--quick]

The catalogue is Instruments (6,250 items, 4 text codes and a collision index) if CLAIRO_SHARED, or a folder `shared`
beside the checkout, has it, else a made one of that size. The T5 has random weights and the published shape: d_model
128, 4 + 4 layers. Its nearly equal probabilities are hard on beams and on bfloat16. Ours runs with both softmaxes: over
the vocabulary, as the rivals, and over the reachable tokens, as we train and serve; the goals are for the latter in
float32. All sides take turns, and each counts its fastest. OMP_NUM_THREADS sets the threads of all.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.report import Row, run_benchmark
from benchmarks.speed.corpora import instruments
from benchmarks.speed.generate_contest import (
    BATCH,
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
from benchmarks.speed.generate_rivals import generate_with_prefix_function, published_loop
from benchmarks.speed.timing import fastest_in_turn
from clairo_core.build_recommender import build_recommender
from clairo_core.generation.search.beam_search import search
from clairo_core.generation.search.view_fusion import fuse_views
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.tokens.vocabulary import EOS

SMALL, LARGE = "10k vocabulary", "40k vocabulary"
RIVALS = ("published loop", "transformers generate")
GOALS = {
    # Must and aim, as the issue sets them.
    (SMALL, 1, "published loop"): (8, 20),
    (SMALL, 1, "transformers generate"): (5, 15),
    (LARGE, 1, "published loop"): (25, 80),
    (LARGE, BATCH, "published loop"): (60, 200),
}


def time_rows(contest: Contest, batch_size: int, repeats: int, *, with_rivals: bool = True) -> list[Row]:
    """Times of all sides at one batch size, and the speedup of ours over each rival."""
    requests = contest.requests[:batch_size]
    served = contest.recommenders[SERVED]
    histories = [(served.known_rows(request.history), request.seed) for request in requests]
    views = token_generator(served).encode_views(histories, NUM_VIEWS)
    canonical = served.catalogue.canonical
    sides: dict[str, tuple[Callable[[], object], int]] = {}
    for name, recommender in contest.recommenders.items():
        sides[name] = (partial(recommender.recommend_batch, requests), repeats)
    if with_rivals:
        generate = generate_with_prefix_function(contest.model, views, canonical, NUM_BEAMS)
        loop = published_loop(contest.model, views, int(canonical.lengths.max()) + 1, NUM_BEAMS)
        sides |= {RIVALS[0]: (loop, 1 + repeats // 10), RIVALS[1]: (generate, 1 + repeats // 5)}
    title = f"{contest.label}, batch {batch_size}"
    times = fastest_in_turn(sides)
    rows = [Row(f"{title}: {name}", 1000 * value, "ms", "lower") for name, value in times.items()]
    for mine in (name for name in sides if name not in RIVALS):
        for rival in RIVALS if with_rivals else ():
            goals = GOALS if mine == SERVED else {}
            must, aim = goals.get((contest.label, batch_size, rival), (None, None))
            rows.append(Row(f"{title}: {mine} against {rival}", times[rival] / times[mine], "x", "higher", must, aim))
    return sorted(rows, key=lambda row: row.unit)


def exhaustive_top_tens(recommender: Recommender, requests: Sequence[RecommendationRequest]) -> list[set[str]]:
    """As `top_tens`, with beams as wide as the catalogue, which score every item exactly, fused over all items."""
    found, generator = [], token_generator(recommender)
    for request in requests:
        views = generator.encode_views([(recommender.known_rows(request.history), request.seed)], NUM_VIEWS)
        beams = search(generator.t5, generator.tries[0], views, len(recommender.catalogue))
        rows, _ = fuse_views(beams, np.zeros(NUM_VIEWS, dtype=np.int64), 1)[0]
        found.append({recommender.catalogue.item_ids[row] for row in rows[:10]})
    return found


def quality_rows(contest: Contest, num_exhaustive: int) -> list[Row]:
    """Top-10 items lost to bfloat16 and to beams, and the time of scoring every item."""
    exact, half = contest.recommenders[SERVED], contest.recommenders[HALF]
    requests = contest.requests[:BATCH]
    kept = share_kept(top_tens(exact, requests), top_tens(half, requests))
    rows = [Row(f"{contest.label}: fp32's top 10 kept by bf16", kept, "%", "higher", aim=99.9)]
    few = contest.requests[:num_exhaustive]
    times = fastest_in_turn(
        {"beams": (lambda: top_tens(exact, few[:1]), 3), "all": (lambda: exhaustive_top_tens(exact, few[:1]), 1)}
    )
    share = share_kept(exhaustive_top_tens(exact, few), top_tens(exact, few))
    rows.append(Row(f"{contest.label}: top 10 of all items found by {NUM_BEAMS} beams", share, "%", "higher"))
    rows.append(
        Row(f"{contest.label}: every item scored, against beams", times["all"] / times["beams"], "x the time", "lower")
    )
    return rows


def agreement_with_transformers(contest: Contest, num_requests: int) -> float:
    """Share of transformers' top 10 of a single view that ours finds, in percent."""
    ours = contest.recommenders[WHOLE]
    one_view = build_recommender(
        ours.catalogue, ours.tokenizer, token_generator(ours).t5, np.zeros(0), num_views=1, num_beams=NUM_BEAMS
    )
    item_of = {
        tuple(ours.catalogue.canonical[row].tolist()): ours.catalogue.item_ids[row]
        for row in range(len(ours.catalogue))
    }
    theirs = []
    for request in contest.requests[:num_requests]:
        history = one_view.known_rows(request.history)
        views = token_generator(one_view).encode_views([(history, request.seed)], 1)
        outputs = generate_with_prefix_function(contest.model, views, ours.catalogue.canonical, NUM_BEAMS)()
        theirs.append({item_of[tuple(token for token in beam.tolist() if token > EOS)] for beam in outputs[:10]})
    return share_kept(theirs, top_tens(one_view, contest.requests[:num_requests]))


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and time both vocabularies."""
    corpus = instruments(("text",))
    table = []
    for vocabulary_size in (10_000, 40_000):
        with TemporaryDirectory() as folder:
            contest = contest_of(corpus, vocabulary_size, Path(folder))
        table += time_rows(contest, 1, 3 if quick else 11)
        if not quick:
            # The rivals take minutes, so they run only where the issue asks for them.
            table += time_rows(contest, BATCH, 2, with_rivals=contest.label == LARGE)
        table += quality_rows(contest, 2 if quick else 8)
        agreement = agreement_with_transformers(contest, 2 if quick else 5)
        table.append(Row(f"{contest.label}, vocabulary: transformers' top 10 found", agreement, "%", "higher"))
    return f"{corpus.name}; {torch.get_num_threads()} torch thread(s)", table


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
