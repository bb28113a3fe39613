"""What the T5 learns to write from what it reads. Start at `lessons_of`.

A vocabulary of one language has one task: from a history to the next item. With several languages, histories in each
lead to next items in each, and each item is also written in every other language. A task from one language to another
opens its input with a marker of its own; within one language there is none, as those tasks alone are used at serving.

Source: Zhai et al. 2025, "Multimodal Quantitative Language for Generative Recommendation" (MQL4GRec). We
differ: one marker instead of several soft prompts, and each task gets an equal part of an epoch, drawn again for each,
instead of all of its examples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int32

from clairo_core.catalogue import Catalogue
from clairo_core.generation.trie.trie import trie_of_tokens
from clairo_core.tokens.spelling import Language, next_item_marker, same_item_marker
from clairo_core.tokens.tokenizer import Tokenizer
from training.generator.examples import Examples, TrainingBatch, label_table, number_of_batches, shuffled_batches
from training.generator.token_choices import TokenChoices, token_choices
from training.workbench.user_share import most_per_user


@dataclass(frozen=True, slots=True, eq=False)
class WrittenItems:
    """Every item in one language."""

    labels: Int32[np.ndarray, "item output"]
    """Tokens and EOS."""
    choices: TokenChoices


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Examples whose histories are read in one language, and whose items are written in the same or another one."""

    examples: Examples
    reads: Language
    writes: int
    """Place of the language among the vocabulary's."""
    marker: int | None = None
    """Token that opens every history."""


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """All tasks, and how items are read and written in them."""

    tasks: tuple[Task, ...]
    tokenizer: Tokenizer
    feature_tokens: Int32[np.ndarray, "item category"]
    written: tuple[WrittenItems, ...]
    """One per language."""
    content: Float32[np.ndarray, "item dim"] | None = None
    """Item embeddings for a T5 that reads them beside tokens."""


def lessons_of(
    catalogue: Catalogue,
    tokenizer: Tokenizer,
    examples: Examples,
    taught_items: Int[np.ndarray, "taught"],
    content: Float32[np.ndarray, "item dim"] | None = None,
) -> Lessons:
    """The tasks of a vocabulary.

    Args:
        catalogue: of all items.
        tokenizer: of the catalogue's vocabulary.
        examples: histories and next items.
        taught_items: rows of items that may be learned in several languages.
        content: item embeddings for a T5 that reads them, which takes a single language.
    """
    written = []
    for language in tokenizer.vocabulary.languages:
        canonical = catalogue.canonical_in(language, tokenizer)
        choices = token_choices(trie_of_tokens(canonical, catalogue.is_retired), canonical)
        written.append(WrittenItems(label_table(canonical), choices))
    tasks = tasks_of(tokenizer, examples, taught_items)
    return Lessons(tasks, tokenizer, catalogue.feature_tokens, tuple(written), content)


def tasks_of(tokenizer: Tokenizer, examples: Examples, taught_items: Int[np.ndarray, "taught"]) -> tuple[Task, ...]:
    """Next items from histories, and the same item from another language, for all pairs of languages."""
    vocabulary, same_items = tokenizer.vocabulary, each_item(taught_items)
    tasks = []
    for reads in vocabulary.languages:
        for place, writes in enumerate(vocabulary.languages):
            if reads == writes:
                tasks.append(Task(examples, reads, place))
                continue
            pair = (reads.name, writes.name)
            tasks.append(Task(examples, reads, place, vocabulary.marker_token(next_item_marker(*pair))))
            tasks.append(Task(same_items, reads, place, vocabulary.marker_token(same_item_marker(*pair))))
    return tuple(tasks)


def each_item(item_rows: Int[np.ndarray, "item"]) -> Examples:
    """One example per item: the item alone, then itself."""
    twice = np.repeat(item_rows.astype(np.int32), 2)
    starts = 2 * np.arange(len(item_rows), dtype=np.int64)
    return Examples(twice, starts, starts + 1, np.ones(len(item_rows), dtype=np.int64))


@dataclass(frozen=True, slots=True)
class EpochSizes:
    """How many examples of each task an epoch has."""

    batch_size: int
    num_examples: tuple[int, ...]
    most_of_user: tuple[int, ...]

    @property
    def num_batches(self) -> int:
        """Batches of all tasks."""
        return sum(number_of_batches(num, self.batch_size) for num in self.num_examples)


def epoch_sizes(tasks: Sequence[Task], batch_size: int, examples_per_epoch: int, max_user_examples: int) -> EpochSizes:
    """Divide an epoch of `examples_per_epoch`, 0 being those of the first task, equally between tasks."""
    most = tuple(most_per_user(task.examples.num_of_user, max_user_examples) for task in tasks)
    drawn = [int(np.minimum(task.examples.num_of_user, limit).sum()) for task, limit in zip(tasks, most, strict=True)]
    whole = min(drawn[0], examples_per_epoch or drawn[0])
    return EpochSizes(batch_size, tuple(min(num, -(-whole // len(tasks))) for num in drawn), most)


def mixed_batches(lessons: Lessons, sizes: EpochSizes, seed: int, *, balance_users: bool) -> Iterator[TrainingBatch]:
    """One epoch: batches of all tasks in random order, each batch of one task."""
    random = np.random.default_rng(seed)
    # A single task keeps the seed as it is.
    seeds = [seed, *random.integers(2**31, size=len(lessons.tasks) - 1).tolist()]
    batches = [
        shuffled_batches(
            task.examples,
            lessons.tokenizer,
            lessons.feature_tokens,
            lessons.written[task.writes].labels,
            batch_size=sizes.batch_size,
            num_examples=num_examples,
            seed=seed_of_task,
            most_of_user=most,
            balance_users=balance_users,
            reads=task.reads,
            writes=task.writes,
            marker=task.marker,
            content=lessons.content,
        )
        for task, num_examples, most, seed_of_task in zip(
            lessons.tasks, sizes.num_examples, sizes.most_of_user, seeds, strict=True
        )
    ]
    counts = [number_of_batches(num, sizes.batch_size) for num in sizes.num_examples]
    for task in random.permutation(np.repeat(np.arange(len(batches)), counts)).tolist():
        yield next(batches[task])
