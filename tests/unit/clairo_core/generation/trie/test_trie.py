import dataclasses
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.catalogue import build_catalogue
from clairo_core.errors import CatalogueError
from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.generation.trie.live_items import live_items
from clairo_core.generation.trie.trie import ROOT, Trie, trie_of_tokens
from clairo_core.ranking.allowed_items import all_but, allowed_by
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import random_feature_sets, tiny_vocabulary, token_batch

token_sequences = st.lists(
    st.lists(st.integers(2, 6), min_size=1, max_size=4).map(tuple), min_size=1, max_size=20, unique=True
)


def trie_of(sequences: list[tuple[int, ...]]) -> Trie:
    return trie_of_tokens(token_batch(sequences), np.zeros(len(sequences), dtype=np.bool_))


def spelled_out(trie: Trie) -> dict[tuple[int, ...], int]:
    """The tokens that lead to each item, found by walking the children."""
    items, waiting = {}, [(ROOT, ())]
    while waiting:
        node, tokens = waiting.pop()
        if trie.item_of_node[node] >= 0:
            items[tokens] = int(trie.item_of_node[node])
        waiting += [
            (child, (*tokens, int(trie.tokens[child])))
            for child in range(trie.first_child[node], trie.first_child[node + 1])
        ]
    return items


def on_cpu(trie: Trie) -> DeviceTrie:
    """What `live_items` reads of a trie on a device."""
    return cast(
        DeviceTrie,
        SimpleNamespace(
            trie=trie, tokens=torch.from_numpy(trie.tokens), live_before=torch.from_numpy(trie.live_before())
        ),
    )


def assert_same(one: Trie, other: Trie) -> None:
    for field in dataclasses.fields(Trie):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def test_a_trie_of_three_items_worked_by_hand():
    trie = trie_of([(5, 2), (3,), (5, 4)])
    assert trie.tokens.tolist() == [0, 3, 5, 2, 4]
    assert trie.first_child.tolist() == [1, 3, 3, 5, 5, 5]
    assert trie.item_of_node.tolist() == [-1, 1, -1, 0, 2]
    assert trie.item_order.tolist() == [1, 0, 2]
    assert list(zip(trie.items_begin.tolist(), trie.items_end.tolist(), strict=True)) == [
        (0, 3),
        (0, 1),
        (1, 3),
        (1, 2),
        (2, 3),
    ]


@given(token_sequences)
@settings(deadline=None)
def test_every_item_is_found_at_the_end_of_its_tokens(sequences):
    assert spelled_out(trie_of(sequences)) == {tokens: row for row, tokens in enumerate(sequences)}


@given(token_sequences)
@settings(deadline=None)
def test_a_node_counts_the_items_at_and_below_it(sequences):
    trie = trie_of(sequences)
    for node in range(trie.num_nodes):
        below, waiting = set(), [node]
        while waiting:
            at = waiting.pop()
            below |= {int(trie.item_of_node[at])} - {-1}
            waiting += range(trie.first_child[at], trie.first_child[at + 1])
        run = trie.item_order[trie.items_begin[node] : trie.items_end[node]]
        assert set(run.tolist()) == below
        if trie.item_of_node[node] >= 0:
            assert run[0] == trie.item_of_node[node]


@given(token_sequences)
@settings(deadline=None)
def test_adding_items_one_by_one_gives_the_trie_of_all(sequences):
    trie = trie_of(sequences[:1])
    for tokens in sequences[1:]:
        trie = trie.with_item(np.array(tokens, dtype=np.int32))
    assert_same(trie, trie_of(sequences))


@given(token_sequences, st.data())
@settings(deadline=None)
def test_running_counts_follow_the_filter_and_skip_retired_items(sequences, data):
    flags = st.lists(st.booleans(), min_size=len(sequences), max_size=len(sequences))
    is_retired, is_allowed = np.array(data.draw(flags)), np.array(data.draw(flags))
    trie = trie_of_tokens(token_batch(sequences), is_retired)
    live = trie.live_before(is_allowed[None])[0]
    of_requests = live_items(
        on_cpu(trie), [all_but(np.flatnonzero(~is_allowed), len(sequences)), *allowed_by([is_allowed])]
    )
    for node in range(trie.num_nodes):
        begin, end = trie.items_begin[node], trie.items_end[node]
        expected = (is_allowed & ~is_retired)[trie.item_order[begin:end]].sum()
        assert live[end] - live[begin] == expected
        twice = [torch.tensor([place, place]) for place in (begin, end)]
        assert of_requests.is_any(*twice, torch.tensor([0, 1])).tolist() == [expected > 0] * 2


@pytest.mark.parametrize("num_added", [3, 100])
def test_an_updated_trie_equals_a_rebuilt_one(num_added):
    sizes = (12, 12, 4)
    tokenizer = Tokenizer(tiny_vocabulary(sizes, merges=[(2, 14), (3, 15), (26, 30)]))
    feature_sets = random_feature_sets(300, sizes)
    first = build_catalogue([str(row) for row in range(200)], feature_sets[:200], tokenizer)
    later = first
    for row in range(200, 200 + num_added):
        later = later.with_item(str(row), tuple(feature_sets[row].tolist()), tokenizer)
    later = later.without_item("7").without_item(str(199 + num_added))
    before, after = (trie_of_tokens(version.canonical, version.is_retired) for version in (first, later))
    assert_same(before.updated(later.canonical, later.is_retired), after)


def test_items_with_the_same_tokens_are_refused_with_their_rows():
    with pytest.raises(CatalogueError, match="rows 0 and 2 have the same tokens"):
        trie_of([(3, 4), (5,), (3, 4)])
    with pytest.raises(CatalogueError, match="item row 2 has the tokens"):
        trie_of([(3, 4), (5,)]).with_item(np.array([3, 4], dtype=np.int32))


def test_an_item_without_tokens_is_refused():
    with pytest.raises(CatalogueError, match="row 1 has no tokens"):
        trie_of([(3,), ()])


def test_a_catalogue_without_items_has_a_trie_of_only_a_root():
    trie = trie_of_tokens(token_batch([]), np.zeros(0, dtype=np.bool_))
    assert trie.num_nodes == 1
    assert trie.first_child.tolist() == [1, 1]
