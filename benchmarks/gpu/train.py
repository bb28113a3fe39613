"""Time training steps on a GPU beside a CPU thread, and compare their losses step by step.

Steps are those of the training: forward, backward, optimizer, on the batches of the preset. Both sides begin with the
same weights and draw nothing at random, so their first losses must agree; only the sampled softmax draws its items.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.checklist import FULL, PARALLEL, PUBLISHED, SAMPLED, TOKEN, Setup
from benchmarks.gpu.device import per_second, synchronize
from benchmarks.gpu.run_parts import Measured, Step
from benchmarks.speed.corpora import Corpus, instruments, made_corpus
from benchmarks.speed.made_recommenders import NUM_CENTROIDS, NUM_CODES
from benchmarks.speed.sampled_softmax import dense_step, made_histories
from benchmarks.speed.train import PUBLISHED as PUBLISHED_SETTINGS
from benchmarks.speed.train import made_batches, our_steps
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.generation.parallel.parallel_generator import code_rows
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.vocabulary import Vocabulary
from training.config.load_preset import load_preset
from training.config.preset import RECURRENT, DenseSettings, ParallelSettings
from training.generator.fit_parallel import READERS, STATES_SCORED, NextItemLoss
from training.workbench.next_item_windows import NextItemBatch, WindowEpochs

NUM_BATCHES = 4
PUBLISHED_BATCH_SIZE, SMALL_BATCH_SIZE = 256, 16
ManySteps = Callable[[], list[Tensor]]
"""Trains the next batches, and returns their losses."""


def steps(setup: Setup) -> list[Step]:
    """What this part measures, in order."""
    torch.set_num_threads(1)
    return [partial(figures_of, setup) for name, figures_of in FIGURES.items() if name in setup.trainings]


def t5_figures(setup: Setup, name: str) -> Iterator[Measured]:
    """A T5 in float32 on both sides, then in bfloat16 as a GPU trains it."""
    preset = load_preset(TOKEN)
    settings, batch_size = preset.generator, preset.fit.batch_size
    if name == PUBLISHED:
        settings, batch_size = PUBLISHED_SETTINGS, PUBLISHED_BATCH_SIZE
    settings = replace(settings, dropout_rate=0.0)
    corpus, vocabulary = corpus_and_vocabulary(setup.is_small)
    batch_size = SMALL_BATCH_SIZE if setup.is_small else batch_size
    choices, batches, _ = made_batches(corpus, vocabulary, NUM_BATCHES, batch_size)
    on = partial(our_steps, Softmax.REACHABLE, settings, vocabulary, choices, batches)
    expected = losses_of(on())
    yield from figures(name, setup, on)
    in_half = on(setup.device, in_half=True)
    yield f"{name}: the same in bfloat16", largest_difference(expected, losses_of(in_half))
    yield f"{name}: the device in bfloat16, as trained", rate_of(in_half, setup)


@cache
def corpus_and_vocabulary(is_small: bool) -> tuple[Corpus, Vocabulary]:
    """Instruments or a made corpus, and 10,000 tokens; a small one for a trial."""
    if is_small:
        corpus = made_corpus(3_000, num_items=100, num_codebooks=2)
        return corpus, corpus.learn_rules(20)
    corpus = instruments(("text",))
    return corpus, corpus.learn(10_000)


def network_figures(setup: Setup) -> Iterator[Measured]:
    """The network of preset `clairo`: speed on its own batches, losses on small ones, of which it takes no sample."""
    settings = replace(load_preset(PARALLEL).parallel, dropout_rate=0.0)
    num_items = 300 if setup.is_small else 10_000
    sequences = made_histories(num_items)
    batches = window_batches(sequences, settings)
    small = window_batches(sequences, replace(settings, positions_per_batch=STATES_SCORED // 2))
    difference = largest_difference(
        losses_of(network_steps(settings, num_items, sequences, small)),
        losses_of(network_steps(settings, num_items, sequences, small, setup.device)),
    )
    yield f"{PARALLEL}: largest relative difference of a loss", difference
    yield from rates(PARALLEL, setup, partial(network_steps, settings, num_items, sequences, batches))


def network_steps(
    settings: ParallelSettings,
    num_items: int,
    sequences: ItemSequences,
    batches: Sequence[NextItemBatch],
    device: str = "cpu",
) -> ManySteps:
    """Build a call of one step per batch, as in `fit_parallel`."""
    codes = np.random.default_rng(0).integers(NUM_CENTROIDS, size=(num_items, NUM_CODES[PARALLEL]), dtype=np.int32)
    sizes = NetworkSizes(
        num_codebooks=NUM_CODES[PARALLEL],
        num_centroids=NUM_CENTROIDS,
        width=settings.width,
        max_history_items=settings.max_history_items,
        reader=READERS[settings.encoder],
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
    )
    torch.manual_seed(0)
    network = ParallelNetwork(sizes, dropout_rate=settings.dropout_rate).to(device)
    is_trained = np.bincount(sequences.items, minlength=num_items) > 0
    item_codes = torch.from_numpy(code_rows(codes, sizes)).to(device)
    loss_of = NextItemLoss(item_codes, torch.from_numpy(is_trained).to(device))
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def step(batch: NextItemBatch) -> Tensor:
        loss = loss_of(network, batch.to(torch.device(device)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return lambda: [step(batch) for batch in batches]


def dense_figures(setup: Setup, name: str, full_num_items: int, *, is_sampled: bool) -> Iterator[Measured]:
    """A dense head of made histories."""
    settings = replace(load_preset(PARALLEL).dense, encoder=RECURRENT, dropout_rate=0.0, own_dropout=0.0)
    num_items = 300 if setup.is_small else full_num_items
    sequences = made_histories(num_items)
    batches = window_batches(sequences, settings)

    def on(device: str = "cpu") -> ManySteps:
        step = dense_step(sequences, num_items, settings, torch.device(device), is_sampled=is_sampled)
        return lambda: [step(batch) for batch in batches]

    yield from figures(name, setup, on)


def window_batches(sequences: ItemSequences, settings: ParallelSettings | DenseSettings) -> list[NextItemBatch]:
    """A few batches of an epoch."""
    windows = WindowEpochs(
        sequences,
        max_inputs=settings.max_history_items,
        max_user_examples=settings.max_user_examples,
        examples_per_epoch=30_000,
    )
    return windows.batches(0, settings.positions_per_batch)[0][:NUM_BATCHES]


def figures(name: str, setup: Setup, on: Callable[..., ManySteps]) -> Iterator[Measured]:
    """Losses and rates of both sides; `on` a device, by default the CPU, training begins again."""
    difference = largest_difference(losses_of(on()), losses_of(on(setup.device)))
    yield f"{name}: largest relative difference of a loss", difference
    yield from rates(name, setup, on)


def rates(name: str, setup: Setup, on: Callable[..., ManySteps]) -> Iterator[Measured]:
    """Steps per second of both sides."""
    slow = per_second(on(), NUM_BATCHES, 0.0, at_least=1)
    fast = rate_of(on(setup.device), setup)
    yield f"{name}: a CPU thread", slow
    yield f"{name}: the device", fast
    yield f"{name}: the device, times a CPU thread", fast / slow


def rate_of(many_steps: ManySteps, setup: Setup) -> float:
    """Steps per second on the device."""

    def call() -> None:
        many_steps()
        synchronize(setup.device)

    return per_second(call, NUM_BATCHES, setup.seconds)


def losses_of(many_steps: ManySteps) -> list[float]:
    """Losses of the first steps."""
    return [float(loss) for loss in many_steps()]


def largest_difference(expected: Sequence[float], found: Sequence[float]) -> float:
    """Of two trainings' losses, relative to the first.

    >>> largest_difference([2.0, 1.0], [2.0, 1.25]), largest_difference([2.0, 1.0], [2.0, float("nan")])
    (0.25, nan)
    """
    differences = [abs(one - other) / one for one, other in zip(expected, found, strict=True)]
    # Unlike Python's, numpy's maximum of a loss that is not a number is none either.
    return float(np.max(differences))


FIGURES: dict[str, Callable[[Setup], Iterator[Measured]]] = {
    PARALLEL: network_figures,
    TOKEN: partial(t5_figures, name=TOKEN),
    PUBLISHED: partial(t5_figures, name=PUBLISHED),
    FULL: partial(dense_figures, name=FULL, full_num_items=10_000, is_sampled=False),
    SAMPLED: partial(dense_figures, name=SAMPLED, full_num_items=100_000, is_sampled=True),
}
