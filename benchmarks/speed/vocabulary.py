"""Measure time and memory of learning a vocabulary, beside the tests' slow twin, and as the corpus grows.

    python -m benchmarks.speed.vocabulary [--json FILE] [--quick]

One core. A time is the fastest of several runs of the compiled, warm kernels: other work on the machine only ever adds
to it. Memory is the peak of a process that does nothing else, Python and numba included.
"""

import itertools
import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.memory import in_own_process, peak_bytes
from benchmarks.report import Row, run_benchmark
from benchmarks.speed.corpora import Corpus, instruments, long_histories, made_corpus
from benchmarks.speed.timing import fastest, timed
from clairo_core.sequences import ItemSequences
from tests import slow_tokenizer

VOCABULARY_SIZE = 40_000
GROWTH_SIZE = 12_000
LONG_RULES = 2000
CHUNK = 20
TWIN_HISTORIES, TWIN_RULES = 2000, 1000
MOST_EXPONENT = 1.15


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and measure learning and its growth."""
    text, both = instruments(("text",)), instruments(("text", "image"))
    repeats = 2 if quick else 5
    table = [
        *learning_rows(text, repeats, seconds=(2.5, 1.2), gigabytes=0.5),
        *learning_rows(both, repeats, seconds=(8, 4), gigabytes=0.9),
        *twin_rows(text.part(TWIN_HISTORIES // (4 if quick else 1)), TWIN_RULES // (4 if quick else 1)),
        *long_history_rows(1 if quick else 3),
        *growth_rows((100_000, 300_000, 1_000_000) if quick else (100_000, 1_000_000, 10_000_000)),
    ]
    return f"{text.name}: {len(text.sequences.items):,} interactions", table


def learning_rows(corpus: Corpus, repeats: int, seconds: tuple[float, float], gigabytes: float) -> list[Row]:
    """Time and peak memory of learning the whole vocabulary; `seconds` is (must, aim)."""
    given = partial(Corpus, corpus.name, corpus.feature_sets, corpus.space, corpus.sequences)
    took, peak, _ = in_own_process(partial(timed_learning, given, VOCABULARY_SIZE, repeats))
    title = f"{VOCABULARY_SIZE // 1000}k vocabulary, {corpus.num_categories} features per item"
    return [
        Row(title, took, "s", "lower", *seconds),
        Row(f"{title}: peak memory", peak / 1e9, "GB", "lower", gigabytes),
    ]


def timed_learning(make_corpus: Callable[[], Corpus], vocabulary_size: int, repeats: int) -> tuple[float, int, int]:
    """Seconds of the fastest run, peak bytes of the process, and number of interactions."""
    corpus = make_corpus()
    corpus.part(10).learn_rules(10)  # loads the kernels
    took = fastest(lambda: corpus.learn(vocabulary_size), repeats)
    return took, peak_bytes(), len(corpus.sequences.items)


def twin_rows(corpus: Corpus, num_rules: int) -> list[Row]:
    """Our time beside the slow twin's, on a part that it can finish; exits if their rules differ."""
    ours = corpus.learn_rules(num_rules)
    took = fastest(lambda: corpus.learn_rules(num_rules), 5)
    table = ours.feature_tokens(corpus.feature_sets)
    sets = [table[rows].tolist() for rows in corpus.sequences]
    theirs, twin_took = timed(
        lambda: slow_tokenizer.learn(sets, ours.first_merge_token, num_rules, num_categories=table.shape[1])
    )
    if [(rule.left, rule.right) for rule in theirs] != list(zip(ours.left.tolist(), ours.right.tolist(), strict=True)):
        raise SystemExit("the compiled kernels and the slow twin learned different rules; run tests/unit first")
    title = f"{len(sets):,} histories, {num_rules:,} rules"
    return [
        Row(f"{title}: ours", took, "s", "lower"),
        Row(f"{title}: slow twin", twin_took, "s", "lower"),
        Row(f"{title}: ours against the slow twin", twin_took / took, "x", "higher"),
    ]


def long_history_rows(repeats: int) -> list[Row]:
    """Time on long histories, beside the same histories cut into short pieces."""
    whole = long_histories()
    cut = Corpus(whole.name, whole.feature_sets, whole.space, in_pieces(whole.sequences))
    cut_took = fastest(lambda: cut.learn_rules(LONG_RULES), repeats)
    whole_took = fastest(lambda: whole.learn_rules(LONG_RULES), repeats)
    mean = len(whole.sequences.items) / len(whole.sequences)
    title = f"{whole.name}, {mean:.0f} items per history, {LONG_RULES:,} rules"
    return [
        Row(title, whole_took, "s", "lower"),
        Row(f"{title}: in pieces of {CHUNK} items", cut_took, "s", "lower"),
        Row(f"{title}: whole against pieces", whole_took / cut_took, "x", "lower", None, 2.0),
    ]


def in_pieces(sequences: ItemSequences) -> ItemSequences:
    """The sequences cut into pieces of CHUNK items."""
    starts = [np.arange(start, end, CHUNK) for start, end in itertools.pairwise(sequences.offsets)]
    return ItemSequences(sequences.items, np.append(np.concatenate(starts), len(sequences.items)))


def growth_rows(sizes: tuple[int, ...]) -> list[Row]:
    """Time and memory as a Zipf corpus grows, and the fitted exponent of time."""
    table, seconds, peaks, counts = [], [], [], []
    for size in sizes:
        call = partial(made_corpus, size, num_items=20_000, num_codebooks=4)
        took, peak, count = in_own_process(partial(timed_learning, call, GROWTH_SIZE, 1))
        title = f"made Zipf corpus, {count:,} interactions"
        table += [Row(title, took, "s", "lower"), Row(f"{title}: peak memory", peak / 1e9, "GB", "lower")]
        seconds.append(took)
        peaks.append(peak)
        counts.append(count)
    exponent = float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])
    bytes_each = float(np.polyfit(counts, peaks, 1)[0])
    return [
        *table,
        Row("growth of time with interactions: fitted exponent", exponent, "", "lower", MOST_EXPONENT),
        Row("growth of memory", bytes_each, "B/interaction", "lower"),
    ]


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
