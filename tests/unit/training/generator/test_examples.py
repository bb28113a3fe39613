"""Training examples and batches: every prefix once per epoch, and nothing beside it but padding."""

from collections import Counter

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import EOS, PAD
from tests.tiny import random_feature_sets, tiny_vocabulary
from training.generator.examples import every_prefix, label_table, number_of_batches, shuffled_batches
from training.workbench.user_share import drawn_rows, most_per_user

SIZES = (4, 4, 4)
TOKENIZER = Tokenizer(tiny_vocabulary(SIZES))
FEATURE_TOKENS = TOKENIZER.vocabulary.feature_tokens(random_feature_sets(20, SIZES))
LABELS = label_table(TOKENIZER.canonical_item_tokens(FEATURE_TOKENS))

sequences_of_items = st.lists(st.lists(st.integers(0, 19), max_size=7), min_size=1, max_size=12)


def test_each_item_after_the_first_is_a_target_once() -> None:
    examples = every_prefix(ItemSequences.from_lists([[1, 2, 3], [4], [], [5, 6]]), max_history_items=20)
    everything = np.arange(len(examples))
    assert [history.tolist() for history in examples.histories(everything)] == [[1], [1, 2], [5]]
    assert examples.targets(everything).tolist() == [2, 3, 6]


def test_only_targets_are_examples_and_each_has_its_weight() -> None:
    sequences = ItemSequences(
        np.array([1, 2, 3, 4, 5]),
        np.array([0, 3, 5]),
        np.float32([0.25, 0.25, 1, 1, 0.5]),
        np.array([False, False, True, True, True]),
    )
    examples = every_prefix(sequences, max_history_items=20)
    everything = np.arange(len(examples))
    assert [history.tolist() for history in examples.histories(everything)] == [[1, 2], [4]]
    assert examples.targets(everything).tolist() == [3, 5]
    assert examples.num_of_user.tolist() == [1, 1]
    batches = shuffled_batches(
        examples, TOKENIZER, FEATURE_TOKENS, LABELS, batch_size=1, num_examples=len(examples), seed=0
    )
    weights = {int(batch.targets[0]): batch.weights.tolist() for batch in batches if batch.weights is not None}
    assert weights == {3: [1.0], 5: [0.5]}


def test_a_long_history_keeps_its_newest_items() -> None:
    examples = every_prefix(ItemSequences.from_lists([[1, 2, 3, 4]]), max_history_items=2)
    assert [history.tolist() for history in examples.histories(np.arange(3))] == [[1], [1, 2], [2, 3]]


def test_labels_are_canonical_tokens_and_the_end() -> None:
    for item, row in enumerate(LABELS):
        tokens = row[row != PAD].tolist()
        assert tokens[-1] == EOS
        assert tokens[:-1] == TOKENIZER.encode_canonical(FEATURE_TOKENS[item : item + 1]).tolist()


@settings(deadline=None)
@given(sequences_of_items, st.integers(1, 5), st.integers(0, 3))
def test_an_epoch_holds_every_example_exactly_once(sequences: list[list[int]], batch_size: int, seed: int) -> None:
    examples = every_prefix(ItemSequences.from_lists(sequences), max_history_items=20)
    batches = list(
        shuffled_batches(
            examples,
            TOKENIZER,
            FEATURE_TOKENS,
            LABELS,
            batch_size=batch_size,
            num_examples=len(examples),
            seed=seed,
        )
    )
    assert len(batches) == number_of_batches(len(examples), batch_size)
    found = sorted(
        (int(length), tuple(label[label != PAD].tolist()))
        for batch in batches
        for length, label in zip(batch.input_lengths, batch.labels, strict=True)
    )
    # Without merge rules a view has one token per feature, and the end.
    everything = np.arange(len(examples))
    expected = sorted(
        (3 * len(history) + 1, tuple(LABELS[target][LABELS[target] != PAD].tolist()))
        for history, target in zip(examples.histories(everything), examples.targets(everything), strict=True)
    )
    assert found == expected


def test_the_same_seed_gives_the_same_batches() -> None:
    examples = every_prefix(ItemSequences.from_lists([[1, 2, 3, 4, 5], [6, 7, 8]]), max_history_items=20)

    def inputs(seed: int) -> list[list[list[int]]]:
        batches = shuffled_batches(
            examples, TOKENIZER, FEATURE_TOKENS, LABELS, batch_size=2, num_examples=len(examples), seed=seed
        )
        return [batch.input_ids.tolist() for batch in batches]

    assert inputs(1) == inputs(1) != inputs(2)


@settings(deadline=None)
@given(sequences_of_items, st.integers(1, 8), st.integers(0, 3), st.booleans())
def test_no_user_has_more_examples_in_an_epoch_than_allowed(
    sequences: list[list[int]], most: int, seed: int, balance_users: bool
) -> None:
    examples = every_prefix(ItemSequences.from_lists(sequences), max_history_items=20)
    num_examples = int(np.minimum(examples.num_of_user, most).sum())
    assume(num_examples)

    def targets(most_of_user: int | None, num_examples: int) -> list[int]:
        batches = shuffled_batches(
            examples,
            TOKENIZER,
            FEATURE_TOKENS,
            LABELS,
            batch_size=4,
            num_examples=num_examples,
            seed=seed,
            most_of_user=most_of_user,
            balance_users=balance_users,
        )
        return [int(target) for batch in batches for target in batch.targets]

    drawn = targets(most, num_examples)
    assert len(drawn) == num_examples
    per_user = [Counter(of_user[1:]) for of_user in sequences]
    assert Counter(drawn) <= sum(per_user, Counter())
    for item in range(20):
        assert drawn.count(item) <= sum(min(of_user[item], most) for of_user in per_user)
    # A limit that nobody reaches changes nothing, not even the order.
    assert targets(7, len(examples)) == targets(None, len(examples))


def test_a_bot_has_no_more_examples_than_twenty_ordinary_users() -> None:
    ordinary = [[1, 2, 3, 4, 5, 6, 7, 8] for _ in range(100)]
    examples = every_prefix(ItemSequences.from_lists([*ordinary, [9, 10] * 5000]), max_history_items=20)
    most = most_per_user(examples.num_of_user, 100)
    assert most == 140
    rows = drawn_rows(examples.num_of_user, most, np.random.default_rng(0))
    of_bot = rows[np.isin(examples.targets(rows), [9, 10])]
    assert (len(rows), len(of_bot)) == (840, 140)
    again = drawn_rows(examples.num_of_user, most, np.random.default_rng(1))
    assert set(of_bot) != set(again[-140:])
    assert len(drawn_rows(examples.num_of_user, most_per_user(examples.num_of_user, 0), np.random.default_rng(0))) == (
        len(examples)
    )
