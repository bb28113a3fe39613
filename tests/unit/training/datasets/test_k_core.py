"""The iterative k-core: worked by hand, by law, and against a slow reference."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.datasets.k_core import k_core

interactions = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=60)
minimum = st.integers(0, 4)


def kept_pairs(pairs: list[tuple[int, int]], min_interactions: int) -> list[tuple[int, int]]:
    users = np.array([user for user, _ in pairs], dtype=np.int32)
    items = np.array([item for _, item in pairs], dtype=np.int32)
    is_kept = k_core(users, items, min_interactions)
    return [pair for pair, keep in zip(pairs, is_kept, strict=True) if keep]


def slow_k_core(pairs: list[tuple[int, int]], min_interactions: int) -> list[tuple[int, int]]:
    while True:
        of_user = Counter(user for user, _ in pairs)
        of_item = Counter(item for _, item in pairs)
        kept = [(u, i) for u, i in pairs if of_user[u] >= min_interactions and of_item[i] >= min_interactions]
        if kept == pairs:
            return kept
        pairs = kept


def test_removing_an_item_can_remove_a_user_and_then_another_item():
    # Item 2 is rare; without it user 1 has one item left; without user 1 item 1 is rare; and so on.
    chain = [(0, 0), (0, 1), (1, 1), (1, 2)]
    assert kept_pairs(chain, 2) == []
    square = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert kept_pairs([*square, *[(2, 1), (2, 3)]], 2) == square


@settings(deadline=None)
@given(interactions, minimum)
def test_every_remaining_user_and_item_has_enough_interactions(pairs, min_interactions):
    kept = kept_pairs(pairs, min_interactions)
    for counts in (Counter(user for user, _ in kept), Counter(item for _, item in kept)):
        assert all(count >= min_interactions for count in counts.values())


@settings(deadline=None)
@given(interactions, minimum)
def test_the_core_matches_the_slow_reference(pairs, min_interactions):
    assert kept_pairs(pairs, min_interactions) == slow_k_core(pairs, min_interactions)
