"""Tasks of a vocabulary of several languages: what is read, what is written, and how an epoch is divided."""

import numpy as np
import pytest

from clairo_core.catalogue import build_catalogue
from clairo_core.tokens.spelling import Spelling
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import EOS, vocabulary_of_features
from tests.tiny import random_feature_sets, random_sequences, tiny_vocabulary
from training.generator.examples import every_prefix, label_table, shuffled_batches
from training.generator.tasks import Lessons, epoch_sizes, lessons_of, mixed_batches

SIZES = (8, 8, 4)
NUM_ITEMS = 12
SETS = random_feature_sets(NUM_ITEMS, SIZES)
SETS[:, 2] = np.arange(NUM_ITEMS) % 4
SETS[:, :2] = np.arange(NUM_ITEMS)[:, None] // 4
"""Groups of four items share both codes; the collision index tells them apart in either language."""
EXAMPLES = every_prefix(random_sequences(NUM_ITEMS, 60), 20)


def lessons(spelling: Spelling) -> Lessons:
    tokenizer = Tokenizer(vocabulary_of_features(("text_0", "image_0", "collision"), SIZES, spelling))
    catalogue = build_catalogue([str(row) for row in range(NUM_ITEMS)], SETS, tokenizer)
    return lessons_of(catalogue, tokenizer, EXAMPLES, np.arange(0, NUM_ITEMS, 2))


def test_two_languages_have_six_tasks_and_only_those_across_have_a_marker() -> None:
    two = lessons(Spelling.LANGUAGES)
    listed = [(task.reads.name, task.writes, task.marker, len(task.examples)) for task in two.tasks]
    first = two.tokenizer.vocabulary.features_end
    assert listed == [
        ("text", 0, None, len(EXAMPLES)),
        ("text", 1, first, len(EXAMPLES)),
        ("text", 1, first + 1, NUM_ITEMS // 2),
        ("image", 0, first + 2, len(EXAMPLES)),
        ("image", 0, first + 3, NUM_ITEMS // 2),
        ("image", 1, None, len(EXAMPLES)),
    ]


def test_every_batch_reads_one_language_and_writes_one() -> None:
    two = lessons(Spelling.LANGUAGES)
    sizes = epoch_sizes(two.tasks, 8, 0, 0)
    assert sizes.num_examples == tuple(min(len(task.examples), -(-len(EXAMPLES) // 6)) for task in two.tasks)
    batches = list(mixed_batches(two, sizes, 3, balance_users=False))
    assert len(batches) == sizes.num_batches
    vocabulary = two.tokenizer.vocabulary
    task_of = {task.marker: task for task in two.tasks if task.marker is not None}
    seen = set()
    for batch in batches:
        marker = int(batch.input_ids[0, 0]) if batch.input_ids[0, 0] >= vocabulary.features_end else None
        categories = {category for category, _ in two.tokenizer.decode(batch.input_ids.ravel())}
        reads = "text" if 0 in categories else "image"
        assert len(categories & {0, 1}) == 1
        written = batch.labels[:, 0] - vocabulary.category_offsets[batch.language]
        assert np.array_equal(written, SETS[batch.targets, batch.language])
        assert (batch.labels[:, 2] == EOS).all()
        if marker is None:
            assert reads == vocabulary.languages[batch.language].name
        else:
            assert (task_of[marker].reads.name, task_of[marker].writes) == (reads, batch.language)
            assert (batch.input_ids[:, 0] == marker).all()
        is_translation = marker is not None and len(task_of[marker].examples) == NUM_ITEMS // 2
        if is_translation:
            read = batch.input_ids[:, 1] - vocabulary.category_offsets[1 - batch.language]
            assert np.array_equal(read, SETS[batch.targets, 1 - batch.language])
        seen.add((reads, batch.language, is_translation))
    assert len(seen) == 6


@pytest.mark.parametrize("balance_users", [False, True])
def test_one_language_is_learned_as_if_there_were_no_tasks(balance_users: bool) -> None:
    tokenizer = Tokenizer(tiny_vocabulary(SIZES))
    catalogue = build_catalogue([str(row) for row in range(NUM_ITEMS)], SETS, tokenizer)
    one = lessons_of(catalogue, tokenizer, EXAMPLES, np.arange(NUM_ITEMS))
    sizes = epoch_sizes(one.tasks, 8, 40, 0)
    plain = shuffled_batches(
        EXAMPLES, tokenizer, catalogue.feature_tokens, label_table(catalogue.canonical),
        batch_size=8, num_examples=40, seed=5, balance_users=balance_users,
    )  # fmt: skip
    for ours, expected in zip(mixed_batches(one, sizes, 5, balance_users=balance_users), plain, strict=True):
        assert np.array_equal(ours.input_ids, expected.input_ids)
        assert np.array_equal(ours.labels, expected.labels)
