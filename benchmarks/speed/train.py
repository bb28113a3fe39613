"""Time our training step beside transformers' T5 with padded batches, in examples per second.

    python -m benchmarks.speed.train [--json FILE] [--quick]

Instruments' histories and text codes, one thread, float32, forward, backward and optimizer of both. Times are of the
processor, so that other work on the machine counts as little as it can; the two take turns, and the fastest turn of
each counts. Our batches are taken from short to long over a whole pool, so that their mean width is the pool's: with
16, 21.4 of 21.0 tokens; the rival's 81.1 of 81.6. "Same loss" is the cross-entropy over the whole vocabulary with the
same dropout; "all levers" adds the softmax over reachable tokens, which is another loss, and leaves dropout out.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.report import Row, run_benchmark
from benchmarks.speed.corpora import Corpus, instruments
from benchmarks.speed.train_rivals import padded_steps
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.generation.trie.trie import trie_of_tokens
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import Vocabulary
from training.config.load_preset import load_preset
from training.config.preset import GeneratorSettings
from training.generator.examples import POOL_BATCHES, TrainingBatch, every_prefix, label_table, shuffled_batches
from training.generator.fit_generator import new_generator
from training.generator.next_item_loss import NextItemLoss
from training.generator.token_choices import TokenChoices, token_choices

VOCABULARY_SIZE = 10_000
BATCH_SIZE = 64
PUBLISHED = GeneratorSettings(d_model=128, d_kv=64, d_ff=1024, num_layers=4, num_heads=6, dropout_rate=0.1)


def measure(is_quick: bool) -> tuple[str, Sequence[Row]]:
    """Both shapes."""
    torch.set_num_threads(1)
    corpus = instruments(("text",))
    vocabulary = corpus.learn(VOCABULARY_SIZE)
    rows: list[Row] = []
    for shape, settings in (("4+4 layers of 128", PUBLISHED), ("preset clairo", load_preset("clairo").generator)):
        num_batches, repeats = (4, 2) if is_quick else (16, 4)
        rows += rows_of(corpus, vocabulary, shape, settings, num_batches, repeats)
    return f"{corpus.name}, {VOCABULARY_SIZE:,} tokens, batches of {BATCH_SIZE}, one thread", rows


def rows_of(
    corpus: Corpus, vocabulary: Vocabulary, shape: str, settings: GeneratorSettings, num_batches: int, repeats: int
) -> list[Row]:
    """Rival, same loss, all levers, and how many times as fast."""
    tokenizer = Tokenizer(vocabulary)
    feature_tokens = vocabulary.feature_tokens(corpus.feature_sets)
    canonical = tokenizer.canonical_item_tokens(feature_tokens)
    choices = token_choices(trie_of_tokens(canonical, np.zeros(len(canonical), dtype=np.bool_)), canonical)
    prefixes, labels = every_prefix(corpus.sequences, 20), label_table(canonical)
    num_examples = num_batches * BATCH_SIZE

    # The same pool of examples: sorted by length as in training, and as they come.
    by_length, as_they_come = (
        list(
            shuffled_batches(
                prefixes,
                tokenizer,
                feature_tokens,
                labels,
                batch_size=BATCH_SIZE,
                num_examples=POOL_BATCHES * BATCH_SIZE,
                seed=0,
                pool_batches=pool_batches,
            )
        )
        for pool_batches in (POOL_BATCHES, 1)
    )
    # Of the sorted ones every so many, from short to long, so that a few batches stand for the pool.
    by_length.sort(key=lambda batch: batch.input_ids.shape[1])
    apart = POOL_BATCHES // num_batches
    by_length = by_length[apart // 2 :: apart][:num_batches]
    rival = padded_steps(new_generator(settings, vocabulary, seed=0), as_they_come[:num_batches])
    same = our_steps(Softmax.VOCABULARY, settings, vocabulary, choices, by_length)
    fastest = our_steps(Softmax.REACHABLE, replace(settings, dropout_rate=0.0), vocabulary, choices, by_length)
    rates = [num_examples / seconds for seconds in fastest_turns((rival, same, fastest), repeats)]
    return [
        Row(f"{shape}: transformers' T5, padded", rates[0], "examples/s", "higher"),
        Row(f"{shape}: ours, same loss", rates[1], "examples/s", "higher"),
        Row(f"{shape}: ours, all levers", rates[2], "examples/s", "higher"),
        Row(f"{shape}: same loss, times as fast", rates[1] / rates[0], "x", "higher", must=3),
        Row(f"{shape}: all levers, times as fast", rates[2] / rates[0], "x", "higher", must=6, aim=12),
    ]


def our_steps(
    softmax: Softmax,
    settings: GeneratorSettings,
    vocabulary: Vocabulary,
    choices: TokenChoices,
    batches: Sequence[TrainingBatch],
) -> Callable[[], None]:
    """A call that takes one step for each batch, as `fit_generator` takes them."""
    model = new_generator(settings, vocabulary, seed=0, softmax=softmax)
    loss_of = NextItemLoss(softmax, choices, 0.0, torch.device("cpu"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    model.train()

    def call() -> None:
        for batch in batches:
            loss = loss_of(model, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return call


def fastest_turns(calls: Sequence[Callable[[], None]], repeats: int) -> list[float]:
    """Processor seconds of each call's fastest turn."""
    seconds = [float("inf")] * len(calls)
    for _ in range(repeats):
        for place, call in enumerate(calls):
            started = time.process_time()
            call()
            seconds[place] = min(seconds[place], time.process_time() - started)
    return seconds


if __name__ == "__main__":
    sys.exit(run_benchmark(measure))
