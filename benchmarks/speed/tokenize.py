"""Time the encoding of histories as tokens, beside the tests' slow twin on a few of the same histories.

    python -m benchmarks.speed.tokenize [--json FILE] [--quick]

One core, all 20-item windows of the corpus, and a vocabulary of 40,000 tokens learned from it. A time is the fastest of
several runs: other work on the machine only ever adds to it.
"""

import sys
from collections.abc import Callable

import numpy as np

from benchmarks.report import Row, run_benchmark
from benchmarks.speed.corpora import Corpus, instruments
from benchmarks.speed.timing import fastest, timed
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from tests import slow_tokenizer

VOCABULARY_SIZE = 40_000
HISTORY_ITEMS = 20
NUM_VIEWS = 5
TWIN_HISTORIES = 10


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and time both corpora."""
    text, both = instruments(("text",)), instruments(("text", "image"))
    repeats = 5 if quick else 15
    table = [
        *encoding_rows(text, repeats, views=(120_000, 250_000), canonical=(18_000, 40_000), one=(100, 30)),
        *encoding_rows(both, repeats),
    ]
    return f"{text.name}: windows of {HISTORY_ITEMS} items, {VOCABULARY_SIZE:,} tokens", table


def encoding_rows(
    corpus: Corpus,
    repeats: int,
    *,
    views: tuple[float | None, float | None] = (None, None),
    canonical: tuple[float | None, float | None] = (None, None),
    one: tuple[float | None, float | None] = (None, None),
) -> list[Row]:
    """Rows of one corpus; `views`, `canonical` and `one` are (must, aim)."""
    vocabulary = corpus.learn(VOCABULARY_SIZE)
    tokenizer, table = Tokenizer(vocabulary), vocabulary.feature_tokens(corpus.feature_sets)
    histories = history_windows(corpus.sequences)
    history = table[histories[0]]
    title = f"{corpus.num_categories} features per item"
    times = {
        "views": fastest(lambda: tokenizer.encode_views(table, histories, seed=0), repeats) / len(histories),
        "canonical": fastest(lambda: tokenizer.encode_canonical_batch(table, histories), repeats) / len(histories),
        "one": fastest(lambda: calls(100, lambda: tokenizer.encode_history_views(history, NUM_VIEWS, 0)), repeats)
        / 100,
    }
    items = fastest(lambda: tokenizer.canonical_item_tokens(table), repeats) / len(table)
    few = [table[rows].tolist() for rows in list(histories)[:TWIN_HISTORIES]]
    rules = slow_tokenizer.by_pair(
        slow_tokenizer.Rule(rule.left, rule.right, rule.token, rule.scaled_count) for rule in vocabulary.rules()
    )
    twin_views, views_took = timed(
        lambda: [slow_tokenizer.encode_view(sets, rules, seed=0, view=view) for view, sets in enumerate(few)]
    )
    twin_canonical, canonical_took = timed(lambda: [slow_tokenizer.encode_canonical(sets, rules) for sets in few])
    first = histories.select(np.arange(len(few)))
    ours = tokenizer.encode_views(table, first, seed=0, eos=False), tokenizer.encode_canonical_batch(table, first)
    for batch, expected in zip(ours, (twin_views, twin_canonical), strict=True):
        if [batch[row].tolist() for row in range(len(few))] != expected:
            raise SystemExit("the compiled kernels and the slow twin encode differently; run tests/unit first")
    return [
        Row(f"{title}: views", 1 / times["views"], "histories/s", "higher", *views),
        Row(f"{title}: views against the slow twin", views_took / len(few) / times["views"], "x", "higher"),
        Row(f"{title}: canonical", 1 / times["canonical"], "histories/s", "higher", *canonical),
        Row(f"{title}: canonical against the slow twin", canonical_took / len(few) / times["canonical"], "x", "higher"),
        Row(f"{title}: one history, {NUM_VIEWS} views, per call", times["one"] * 1e6, "us", "lower", *one),
        Row(f"{title}: canonical tokens of every item", 1 / items, "items/s", "higher"),
    ]


def history_windows(sequences: ItemSequences) -> ItemSequences:
    """All windows of HISTORY_ITEMS items; if no history is that long, pieces of all histories joined."""
    lengths = sequences.lengths
    first = np.concatenate(
        [
            np.arange(start, start + max(length - HISTORY_ITEMS + 1, 0))
            for start, length in zip(sequences.offsets, lengths, strict=False)
        ]
    )
    if not len(first):
        first = np.arange(0, min(len(sequences.items) - HISTORY_ITEMS, 80_000), HISTORY_ITEMS)
    windows = sequences.items[first[:, None] + np.arange(HISTORY_ITEMS)]
    return ItemSequences.from_lengths(windows.ravel(), np.full(len(windows), HISTORY_ITEMS))


def calls(count: int, call: Callable[[], object]) -> None:
    """Repeat a call."""
    for _ in range(count):
        call()


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
