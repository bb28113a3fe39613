"""Time our training step beside transformers' T5 with padded batches, in examples per second.

    python -m benchmarks.speed.train [--json FILE] [--quick]

Instruments' histories and text codes, one thread, float32; both sides run forward, backward and optimizer. Times are
processor seconds, which other work on the machine affects least. Sides take turns, and each counts its fastest. Our
batches are spread from short to long over a whole pool, which keeps their mean width at the pool's: with 16, 21.4 of
21.0 tokens (the rival: 81.1 of 81.6). "Same loss" is the cross-entropy over the whole vocabulary with the same dropout.
"All levers" uses the softmax over reachable tokens, which is another loss, and no dropout.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.report import Row, run_benchmark
from benchmarks.speed.corpora import Corpus, instruments
from benchmarks.speed.timing import fastest_in_turn
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
RIVAL, SAME_LOSS, ALL_LEVERS = "transformers' T5, padded", "ours, same loss", "ours, all levers"
PUBLISHED = GeneratorSettings(d_model=128, d_kv=64, d_ff=1024, num_layers=4, num_heads=6, dropout_rate=0.1)


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and time both shapes."""
    torch.set_num_threads(1)
    corpus = instruments(("text",))
    vocabulary = corpus.learn(VOCABULARY_SIZE)
    table: list[Row] = []
    ours = "clairo_token"
    for shape, settings in (("4+4 layers of 128", PUBLISHED), (f"preset {ours}", load_preset(ours).generator)):
        num_batches, repeats = (4, 2) if quick else (16, 4)
        table += shape_rows(corpus, vocabulary, shape, settings, num_batches, repeats)
    return f"{corpus.name}, {VOCABULARY_SIZE:,} tokens, batches of {BATCH_SIZE}, one thread", table


def shape_rows(
    corpus: Corpus, vocabulary: Vocabulary, shape: str, settings: GeneratorSettings, num_batches: int, repeats: int
) -> list[Row]:
    """Examples per second of the rival, of the same loss and of all levers, and both speedups."""
    choices, by_length, unsorted = made_batches(corpus, vocabulary, num_batches, BATCH_SIZE)
    num_examples = num_batches * BATCH_SIZE
    rival = padded_steps(new_generator(settings, vocabulary, seed=0), unsorted)
    same = our_steps(Softmax.VOCABULARY, settings, vocabulary, choices, by_length)
    all_levers = our_steps(Softmax.REACHABLE, replace(settings, dropout_rate=0.0), vocabulary, choices, by_length)
    sides = {RIVAL: (rival, repeats), SAME_LOSS: (same, repeats), ALL_LEVERS: (all_levers, repeats)}
    seconds = fastest_in_turn(sides, time.process_time)
    return [
        *(Row(f"{shape}: {name}", num_examples / seconds[name], "examples/s", "higher") for name in sides),
        Row(f"{shape}: same loss, times as fast", seconds[RIVAL] / seconds[SAME_LOSS], "x", "higher", must=3),
        Row(f"{shape}: all levers, times as fast", seconds[RIVAL] / seconds[ALL_LEVERS], "x", "higher", must=6, aim=12),
    ]


def made_batches(
    corpus: Corpus, vocabulary: Vocabulary, num_batches: int, batch_size: int
) -> tuple[TokenChoices, list[TrainingBatch], list[TrainingBatch]]:
    """Batches of one pool of examples.

    Returns:
        The tokens that can follow each other; batches by length as in training; unsorted ones.
    """
    tokenizer = Tokenizer(vocabulary)
    feature_tokens = vocabulary.feature_tokens(corpus.feature_sets)
    canonical = tokenizer.canonical_item_tokens(feature_tokens)
    choices = token_choices(trie_of_tokens(canonical, np.zeros(len(canonical), dtype=np.bool_)), canonical)
    prefixes, labels = every_prefix(corpus.sequences, 20), label_table(canonical)
    by_length, unsorted = (
        list(
            shuffled_batches(
                prefixes,
                tokenizer,
                feature_tokens,
                labels,
                batch_size=batch_size,
                num_examples=POOL_BATCHES * batch_size,
                seed=0,
                pool_batches=pool_batches,
            )
        )
        for pool_batches in (POOL_BATCHES, 1)
    )
    # Evenly spaced from short to long, so a few batches represent the pool.
    by_length.sort(key=lambda batch: batch.input_ids.shape[1])
    apart = POOL_BATCHES // num_batches
    return choices, by_length[apart // 2 :: apart][:num_batches], unsorted[:num_batches]


def our_steps(
    softmax: Softmax,
    settings: GeneratorSettings,
    vocabulary: Vocabulary,
    choices: TokenChoices,
    batches: Sequence[TrainingBatch],
    device: str = "cpu",
    *,
    in_half: bool = False,
) -> Callable[[], list[Tensor]]:
    """Build a call of one step per batch, as in `fit_generator`; `in_half` as on a GPU. It returns the losses."""
    model = new_generator(settings, vocabulary, seed=0, softmax=softmax).to(device)
    loss_of = NextItemLoss(softmax, choices, 0.0, torch.device(device))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    model.train()

    def call() -> list[Tensor]:
        losses = []
        for batch in batches:
            with torch.autocast(device, torch.bfloat16, enabled=in_half):
                loss = loss_of(model, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.detach())
        return losses

    return call


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
