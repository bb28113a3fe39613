"""Turn training sequences into the generator's batches: history views in, canonical tokens of the next item out.

Every prefix of a sequence before a target is an example. Batches hold histories of similar length: padding is the
greatest waste in training.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int32, Int64

from clairo_core.generation.t5.content_inputs import padded_content
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.spelling import Language
from clairo_core.tokens.tokenizer import TokenBatch, Tokenizer
from clairo_core.tokens.vocabulary import EOS, PAD
from training.workbench.user_share import drawn_rows

POOL_BATCHES = 64
"""Examples are sorted by length within a pool of this many batches: similar lengths, yet well shuffled."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Every (history, next item) pair, as positions in the flat array of all sequences."""

    items: Int32[np.ndarray, "position"]
    starts: Int64[np.ndarray, "example"]
    ends: Int64[np.ndarray, "example"]
    """The target's position: history `items[starts:ends]`, target `items[ends]`."""
    num_of_user: Int64[np.ndarray, "user"]
    """The number of examples of each user; they follow one another."""
    weights: Float32[np.ndarray, "example"] | None = None
    """How much each counts in the loss; None where all count 1."""

    def __len__(self) -> int:
        return len(self.ends)

    def histories(self, chosen: Int[np.ndarray, "chosen"]) -> ItemSequences:
        """The histories of the chosen examples."""
        lengths = self.ends[chosen] - self.starts[chosen]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        positions = np.arange(offsets[-1]) + np.repeat(self.starts[chosen] - offsets[:-1], lengths)
        return ItemSequences(self.items[positions], offsets)

    def targets(self, chosen: Int[np.ndarray, "chosen"]) -> Int32[np.ndarray, "chosen"]:
        """The item rows to predict."""
        rows: Int32[np.ndarray, "chosen"] = self.items[self.ends[chosen]]
        return rows


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Arrays of one optimizer step. Labels are padded with PAD, which is never a label."""

    input_ids: Int32[np.ndarray, "example input"]
    input_lengths: Int32[np.ndarray, "example"]
    labels: Int32[np.ndarray, "example output"]
    targets: Int32[np.ndarray, "example"]
    """Item rows of the labels."""
    weights: Float32[np.ndarray, "example"] | None = None
    """None where all weigh 1."""
    language: int = 0
    """Place of the labels' language among the vocabulary's."""
    content: Float32[np.ndarray, "example place dim"] | None = None
    """Embeddings of the histories' items, for a T5 that reads them; see `padded_content`."""

    @property
    def total_weight(self) -> float:
        """Of all examples."""
        return float(len(self.targets) if self.weights is None else self.weights.sum())

    def every(self, step: int, first: int) -> "TrainingBatch":
        """Each `step`-th example from `first` on."""
        return TrainingBatch(
            self.input_ids[first::step],
            self.input_lengths[first::step],
            self.labels[first::step],
            self.targets[first::step],
            None if self.weights is None else self.weights[first::step],
            self.language,
            None if self.content is None else self.content[first::step],
        )


def every_prefix(sequences: ItemSequences, max_history_items: int) -> Examples:
    """One example per target with a predecessor. Histories keep their newest `max_history_items`."""
    offsets = np.asarray(sequences.offsets)
    first = np.repeat(offsets[:-1], np.diff(offsets))
    positions = np.arange(len(sequences.items))
    has_history = positions > first
    ends = positions[has_history if sequences.is_target is None else has_history & sequences.is_target]
    num_of_user = np.diff(np.searchsorted(ends, offsets))
    weights = None if sequences.weights is None else sequences.weights[ends]
    return Examples(sequences.items, np.maximum(first[ends], ends - max_history_items), ends, num_of_user, weights)


def label_table(canonical: TokenBatch) -> Int32[np.ndarray, "item output"]:
    """Each item's canonical tokens followed by EOS."""
    table = np.full((len(canonical.ids), canonical.ids.shape[1] + 1), PAD, dtype=np.int32)
    table[:, :-1] = canonical.ids
    table[np.arange(len(table)), canonical.lengths] = EOS
    return table


def shuffled_batches(
    examples: Examples,
    tokenizer: Tokenizer,
    feature_tokens: Int32[np.ndarray, "item category"],
    labels: Int32[np.ndarray, "item output"],
    *,
    batch_size: int,
    num_examples: int,
    seed: int,
    most_of_user: int | None = None,
    balance_users: bool = False,
    reads: Language | None = None,
    writes: int = 0,
    marker: int | None = None,
    content: Float32[np.ndarray, "item dim"] | None = None,
    pool_batches: int = POOL_BATCHES,
) -> Iterator[TrainingBatch]:
    """One epoch of `num_examples` examples in random order, each history in a new random view.

    At most `most_of_user` examples of one user take part. With `balance_users`, an example's chance is one over the
    number of its user's examples that do. Histories are in the language `reads`, behind the token `marker` if there is
    one; `labels` are in the language at place `writes`. `content` are the items' embeddings, for a T5 that reads them.
    """
    random = np.random.default_rng(seed)
    most = int(examples.num_of_user.max(initial=0)) if most_of_user is None else most_of_user
    rows = drawn_rows(examples.num_of_user, most, random)
    if balance_users:
        num_drawn = np.minimum(examples.num_of_user, most)
        shares = np.repeat(1.0 / np.maximum(num_drawn, 1), num_drawn)
        chosen = rows[random.choice(len(rows), size=num_examples, replace=False, p=shares / shares.sum())]
    else:
        chosen = rows[random.permutation(len(rows))[:num_examples]]
    for start in range(0, len(chosen), batch_size * pool_batches):
        pool = chosen[start : start + batch_size * pool_batches]
        views = tokenizer.encode_views(
            feature_tokens, examples.histories(pool), seed=int(random.integers(2**31)), language=reads
        )
        if marker is not None:
            views = led_by(marker, views)
        by_length = np.argsort(views.lengths, kind="stable")
        batches = [by_length[first : first + batch_size] for first in range(0, len(pool), batch_size)]
        for batch in (batches[place] for place in random.permutation(len(batches))):
            lengths = views.lengths[batch]
            targets = examples.targets(pool[batch])
            spelt = labels[targets]
            width = int((spelt != PAD).sum(axis=1).max())
            weights = None if examples.weights is None else examples.weights[pool[batch]]
            of_items = None
            if content is not None:
                histories = examples.histories(pool[batch])
                of_items = padded_content(content, histories.items, histories.lengths)
            ids = views.ids[batch, : lengths.max()]
            yield TrainingBatch(ids, lengths, spelt[:, :width], targets, weights, writes, of_items)


def led_by(token: int, batch: TokenBatch) -> TokenBatch:
    """The same sequences, each behind one more token."""
    first = np.full((len(batch), 1), token, dtype=np.int32)
    return TokenBatch(np.concatenate([first, batch.ids], axis=1), (batch.lengths + 1).astype(np.int32))


def number_of_batches(num_examples: int, batch_size: int) -> int:
    """The number of batches that `shuffled_batches` yields."""
    whole_pools, rest = divmod(num_examples, batch_size * POOL_BATCHES)
    return whole_pools * POOL_BATCHES + -(-rest // batch_size)
