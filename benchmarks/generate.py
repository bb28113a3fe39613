"""Time a request from history to ranked items, beside transformers' generate and the published loop, in one process.

    python -m benchmarks.generate [--json FILE] [--quick]

The catalogue is Instruments (6,250 items, 4 text codes and a collision index) if `shared/data` is beside the checkout,
else a made one of that size. The T5 has random weights, of the published shape: d_model 128, 4 + 4 layers.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Int32
from transformers import T5Config, T5ForConditionalGeneration

from benchmarks.generate_rivals import generate_with_prefix_function, published_loop
from benchmarks.report import Row, run_benchmark
from clairo_core.catalogue import Catalogue, build_catalogue
from clairo_core.features import FeatureSpace, collision_capacity, feature_sets_with_collision_index
from clairo_core.generator import load_generator
from clairo_core.items import UserHistory
from clairo_core.recommender import RecommendationRequest, Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.tokenizer import Tokenizer
from clairo_core.vocabulary import EOS, PAD
from training.datasets import load_dataset
from training.datasets.split import training_sequences
from training.learn_vocabulary import learn_vocabulary

INSTRUMENTS = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "amazon2018_instruments_mql"
NUM_BEAMS = 50
NUM_VIEWS = 5
MAX_HISTORY_ITEMS = 20
BATCH = 16


@dataclass(frozen=True)
class Corpus:
    """Items and histories to measure on."""

    name: str
    feature_sets: Int32[np.ndarray, "item category"]
    space: FeatureSpace
    sequences: ItemSequences


@dataclass(frozen=True)
class Contest:
    """One vocabulary: our recommender in both precisions, and the model that the rivals run."""

    label: str
    recommender: Recommender
    half_precision: Recommender
    model: T5ForConditionalGeneration
    requests: list[RecommendationRequest]


def load_corpus() -> Corpus:
    """Instruments, or made codes with popular and rare items."""
    if INSTRUMENTS.is_dir():
        dataset = load_dataset(INSTRUMENTS, code_columns=["text"])
        name, semantic_ids, sequences = dataset.name, dataset.semantic_ids, training_sequences(dataset)
    else:
        random = np.random.default_rng(0)
        name = "made: 6,250 items, 17,000 histories"
        semantic_ids = random.integers(256, size=(6250, 4)).astype(np.int32)
        lengths = random.integers(3, 12, size=17_000)
        sequences = ItemSequences.from_lengths(random.zipf(1.3, size=lengths.sum()) % 6250, lengths)
    if semantic_ids is None:
        raise SystemExit(f"{INSTRUMENTS} has no text codes; remove it to measure on a made catalogue")
    feature_sets, space = feature_sets_with_collision_index(
        semantic_ids, [256] * semantic_ids.shape[1], collision_capacity(semantic_ids)
    )
    return Corpus(name, feature_sets, space, sequences)


def contest_of(corpus: Corpus, vocabulary_size: int, folder: Path) -> Contest:
    """Learn a vocabulary, draw a T5, and put both sides together."""
    vocabulary = learn_vocabulary(
        corpus.feature_sets,
        corpus.space.category_names,
        corpus.space.category_sizes,
        corpus.sequences,
        vocabulary_size,
    )
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=vocabulary.size,
        d_model=128,
        d_kv=64,
        d_ff=1024,
        num_layers=4,
        num_heads=6,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
    )
    model = T5ForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    tokenizer = Tokenizer(vocabulary)
    item_ids = [str(row) for row in range(len(corpus.feature_sets))]
    catalogue = build_catalogue(item_ids, corpus.feature_sets, tokenizer)
    long_enough = [row for row, length in enumerate(corpus.sequences.lengths) if length >= 5]
    histories = [corpus.sequences[row][-MAX_HISTORY_ITEMS:] for row in long_enough[: 2 * BATCH]]
    return Contest(
        f"{vocabulary_size // 1000}k vocabulary",
        recommender_of(catalogue, tokenizer, folder, "float32"),
        recommender_of(catalogue, tokenizer, folder, "bfloat16"),
        model,
        [
            RecommendationRequest(
                history=UserHistory(tuple(item_ids[row] for row in history)), limit=10, include_seen=True
            )
            for history in histories
        ],
    )


def recommender_of(catalogue: Catalogue, tokenizer: Tokenizer, folder: Path, dtype: str) -> Recommender:
    """Ours, as the service makes it, on the CPU."""
    return Recommender(
        catalogue,
        tokenizer,
        load_generator(folder, "cpu", dtype=dtype),
        np.zeros(len(catalogue), dtype=np.int64),
        num_views=NUM_VIEWS,
        num_beams=NUM_BEAMS,
        max_history_items=MAX_HISTORY_ITEMS,
    )


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Milliseconds of a call, after one that warms up; a single call is of what takes too long for more."""
    if repeats > 1:
        call()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) * 1000


def measure(contest: Contest, batch_size: int, repeats: int, goals: Mapping[str, tuple[float, float]]) -> list[Row]:
    """One batch size: times of all sides in turn, and ratios, for which `goals` has (must, aim)."""
    requests = contest.requests[:batch_size]
    ours = contest.recommender
    views = ours.encode_views([(ours.known_rows(request.history), request.seed) for request in requests])
    sides: dict[str, tuple[Callable[[], object], int]] = {
        "ours fp32": (lambda: ours.recommend_batch(requests), repeats),
        "ours bf16": (lambda: contest.half_precision.recommend_batch(requests), repeats),
        "transformers generate": (
            generate_with_prefix_function(contest.model, views, ours.catalogue.canonical, NUM_BEAMS),
            max(1, repeats // 3),
        ),
        "published loop": (
            published_loop(contest.model, views, int(ours.catalogue.canonical.lengths.max()) + 1, NUM_BEAMS),
            max(1, repeats // 6),
        ),
    }
    title = f"batch {batch_size}, {contest.label}"
    times = {name: median_ms(call, side_repeats) for name, (call, side_repeats) in sides.items()}
    rows = [Row(f"{title}: {name}", value, "ms", "lower") for name, value in times.items()]
    for mine in ("ours fp32", "ours bf16"):
        for rival in ("published loop", "transformers generate"):
            must, aim = goals.get(f"{mine} / {rival}", (None, None))
            rows.append(Row(f"{title}: {mine} against {rival}", times[rival] / times[mine], "x", "higher", must, aim))
    return rows


def share_of_top_ten_kept(contest: Contest) -> float:
    """How much of fp32's top 10 is in that of bf16, in percent."""
    exact = contest.recommender.recommend_batch(contest.requests)
    rounded = contest.half_precision.recommend_batch(contest.requests)
    kept = [
        len({entry.item_id for entry in one.items} & {entry.item_id for entry in other.items}) / len(one.items)
        for one, other in zip(exact, rounded, strict=True)
    ]
    return 100 * float(np.mean(kept))


def agreement_with_transformers(contest: Contest) -> float:
    """How much of transformers' top 10 of a single view ours finds, in percent."""
    ours = contest.recommender
    found = []
    for request in contest.requests[:3]:
        one_view = Recommender(
            ours.catalogue, ours.tokenizer, ours.generator, np.zeros(0), num_views=1, num_beams=NUM_BEAMS
        )
        views = one_view.encode_views([(one_view.known_rows(request.history), request.seed)])
        outputs = generate_with_prefix_function(contest.model, views, ours.catalogue.canonical, NUM_BEAMS)()
        row_of = {tuple(ours.catalogue.canonical[row].tolist()): row for row in range(len(ours.catalogue))}
        theirs = [row_of[tuple(token for token in beam.tolist() if token > EOS)] for beam in outputs[:10]]
        mine = {int(entry.item_id) for entry in one_view.recommend_batch([request])[0].items}
        found.append(len(mine & set(theirs)) / 10)
    return 100 * float(np.mean(found))


def rows(quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    corpus = load_corpus()
    table = []
    for vocabulary_size, goals in (
        (10_000, {"ours fp32 / published loop": (8, 20), "ours fp32 / transformers generate": (5, 15)}),
        (40_000, {"ours fp32 / published loop": (25, 80)}),
    ):
        with TemporaryDirectory() as folder:
            contest = contest_of(corpus, vocabulary_size, Path(folder))
        table += measure(contest, 1, 3 if quick else 21, goals)
        table.append(
            Row(f"{contest.label}: transformers' top 10 found", agreement_with_transformers(contest), "%", "higher")
        )
        table.append(
            Row(
                f"{contest.label}: fp32's top 10 kept by bf16",
                share_of_top_ten_kept(contest),
                "%",
                "higher",
                99.5,
                99.9,
            )
        )
    if not quick:
        table += measure(contest, BATCH, 3, {"ours fp32 / published loop": (60, 200)})
    return corpus.name, table


if __name__ == "__main__":
    raise SystemExit(run_benchmark(rows))
