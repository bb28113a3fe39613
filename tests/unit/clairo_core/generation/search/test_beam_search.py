import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import GeneratorError
from clairo_core.generation.search.beam_candidates import best_places, log_sum_over_options
from clairo_core.generation.search.beam_search import Beams, search
from clairo_core.generation.t5.generator import Generator, load_generator
from clairo_core.generation.trie.device_trie import DeviceTrie
from clairo_core.generation.trie.trie import trie_of_tokens
from clairo_core.ranking.allowed_items import allowed_by
from clairo_core.tokens.tokenizer import TokenBatch
from clairo_core.tokens.vocabulary import EOS, PAD
from tests.exhaustive_scores import score_all_items
from tests.tiny import random_t5, token_batch, write_random_t5

VOCAB_SIZE = 30

item_tokens = st.lists(
    st.lists(st.integers(2, 9), min_size=1, max_size=4).map(tuple), min_size=1, max_size=25, unique=True
)
histories = st.lists(
    st.lists(st.integers(2, VOCAB_SIZE - 1), min_size=1, max_size=6).map(lambda tokens: [*tokens, EOS]),
    min_size=1,
    max_size=3,
).map(token_batch)


def generator_of(tmp_path_factory, softmax: str) -> Generator:
    folder = tmp_path_factory.mktemp(softmax)
    # Larger weights than T5's initial ones, for unequal probabilities.
    return load_generator(write_random_t5(folder, VOCAB_SIZE, seed=1, initializer_factor=1.5, softmax=softmax), "cpu")


@pytest.fixture(scope="module", params=["vocabulary", "reachable"])
def generator(request, tmp_path_factory) -> Generator:
    return generator_of(tmp_path_factory, request.param)


@pytest.fixture(scope="module")
def vocabulary_generator(tmp_path_factory) -> Generator:
    return generator_of(tmp_path_factory, "vocabulary")


@pytest.fixture(scope="module")
def reachable_generator(tmp_path_factory) -> Generator:
    return generator_of(tmp_path_factory, "reachable")


def searched(
    generator: Generator,
    items: TokenBatch,
    views: TokenBatch,
    num_beams: int,
    is_allowed: np.ndarray | None = None,
    is_retired: np.ndarray | None = None,
) -> Beams:
    trie = trie_of_tokens(items, np.zeros(len(items), dtype=np.bool_) if is_retired is None else is_retired)
    allowed = None if is_allowed is None else allowed_by(is_allowed)
    return search(generator, DeviceTrie(trie, generator), views, num_beams, is_allowed=allowed)


def ranked(scores: np.ndarray, num_beams: int) -> list[int]:
    """Item rows by score, best first, without those at minus infinity."""
    order = np.lexsort((np.arange(len(scores)), -scores))
    return [int(row) for row in order if scores[row] > -np.inf][:num_beams]


@given(item_tokens, histories)
@settings(max_examples=40, deadline=None)
def test_beams_as_wide_as_the_catalogue_equal_the_exhaustive_scores(generator, items, views):
    canonical = token_batch(items)
    exact = score_all_items(generator, canonical, views)
    beams = searched(generator, canonical, views, num_beams=len(items))
    for view in range(len(views)):
        assert sorted(beams.item_rows[view].tolist()) == list(range(len(items)))
        np.testing.assert_allclose(beams.scores[view], exact[view, beams.item_rows[view]], atol=2e-5)
        assert (np.diff(beams.scores[view]) <= 0).all()


@given(item_tokens, histories, st.integers(1, 8), st.data())
@settings(max_examples=60, deadline=None)
def test_beams_are_distinct_allowed_items_and_as_many_as_exist(generator, items, views, num_beams, data):
    flags = st.lists(st.booleans(), min_size=len(items), max_size=len(items))
    is_allowed = np.array(data.draw(st.lists(flags, min_size=len(views), max_size=len(views))))
    is_retired = np.array(data.draw(flags))
    canonical = token_batch(items)
    exact = score_all_items(generator, canonical, views, is_retired)
    beams = searched(generator, canonical, views, num_beams, is_allowed, is_retired)
    for view in range(len(views)):
        rows = beams.item_rows[view][beams.item_rows[view] >= 0]
        may_come = np.flatnonzero(is_allowed[view] & ~is_retired)
        assert len(set(rows.tolist())) == len(rows) == min(num_beams, len(may_come))
        assert set(rows.tolist()) <= set(may_come.tolist())
        np.testing.assert_allclose(beams.scores[view, : len(rows)], exact[view, rows], atol=2e-5)


@given(item_tokens, histories, st.data())
@settings(max_examples=40, deadline=None)
def test_over_the_vocabulary_a_restricted_search_equals_a_search_of_a_catalogue_of_the_rest(
    vocabulary_generator, items, views, data
):
    generator = vocabulary_generator
    is_allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items))))
    rest = np.flatnonzero(is_allowed)
    restricted = searched(
        generator, token_batch(items), views, 4, np.broadcast_to(is_allowed, (len(views), len(items)))
    )
    alone = searched(generator, token_batch([items[row] for row in rest]), views, 4)
    for view in range(len(views)):
        expected = alone.item_rows[view][alone.item_rows[view] >= 0]
        found = restricted.item_rows[view][restricted.item_rows[view] >= 0]
        assert found.tolist() == rest[expected].tolist()


@given(item_tokens, histories, st.data())
@settings(max_examples=40, deadline=None)
def test_reachable_probabilities_sum_to_one_over_the_items_that_are_not_retired(
    reachable_generator, items, views, data
):
    is_retired = np.array(data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items))))
    beams = searched(reachable_generator, token_batch(items), views, len(items), is_retired=is_retired)
    expected = 0.0 if is_retired.all() else 1.0
    np.testing.assert_allclose(np.exp(beams.scores).sum(axis=1), expected, atol=1e-5)


@given(item_tokens, histories, st.data())
@settings(max_examples=40, deadline=None)
def test_a_filter_does_not_change_reachable_probabilities(reachable_generator, items, views, data):
    is_allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items))))
    canonical = token_batch(items)
    everything = searched(reachable_generator, canonical, views, len(items))
    restricted = searched(
        reachable_generator, canonical, views, len(items), np.broadcast_to(is_allowed, (len(views), len(items)))
    )
    for view in range(len(views)):
        may_come = is_allowed[everything.item_rows[view]]
        num_left = int(may_come.sum())
        assert sorted(restricted.item_rows[view, :num_left]) == sorted(everything.item_rows[view, may_come])
        np.testing.assert_allclose(restricted.scores[view, :num_left], everything.scores[view, may_come], atol=2e-5)


@given(item_tokens, histories, st.data())
@settings(max_examples=40, deadline=None)
def test_retired_items_do_not_affect_reachable_probabilities(reachable_generator, items, views, data):
    is_retired = np.array(data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items))))
    rest = np.flatnonzero(~is_retired)
    retired = searched(reachable_generator, token_batch(items), views, 4, is_retired=is_retired)
    alone = searched(reachable_generator, token_batch([items[row] for row in rest]), views, 4)
    for view in range(len(views)):
        expected = alone.item_rows[view][alone.item_rows[view] >= 0]
        found = retired.item_rows[view][retired.item_rows[view] >= 0]
        assert found.tolist() == rest[expected].tolist()
        np.testing.assert_allclose(retired.scores[view, : len(found)], alone.scores[view, : len(found)], atol=2e-5)


def test_an_added_item_takes_its_share_of_reachable_probability(reachable_generator):
    views = token_batch([[3, EOS]])
    trie = trie_of_tokens(token_batch([(4, 5), (6, 7)]), np.zeros(2, dtype=np.bool_))
    longer = trie.with_item(np.array([4, 8], dtype=np.int32))
    before = search(reachable_generator, DeviceTrie(trie, reachable_generator), views, 3)
    after = search(reachable_generator, DeviceTrie(longer, reachable_generator), views, 3)
    share_before = dict(zip(before.item_rows[0].tolist(), np.exp(before.scores[0]), strict=True))
    share_after = dict(zip(after.item_rows[0].tolist(), np.exp(after.scores[0]), strict=True))
    assert sorted(share_after) == [0, 1, 2]
    assert share_after[1] == pytest.approx(share_before[1], abs=1e-6)
    assert share_after[0] + share_after[2] == pytest.approx(share_before[0], abs=1e-6)


def test_more_items_than_beams_are_found_where_they_need_no_step(reachable_generator):
    items, views = token_batch([(token,) for token in range(2, 12)]), token_batch([[3, EOS]])
    trie = DeviceTrie(trie_of_tokens(items, np.zeros(10, dtype=np.bool_)), reachable_generator)
    beams = search(reachable_generator, trie, views, 2, num_items=7)
    exact = score_all_items(reachable_generator, items, views)
    assert beams.item_rows[0].tolist() == ranked(exact[0], 7)


def test_a_single_item_is_certain_and_none_of_its_tokens_is_scored(reachable_generator):
    beams = searched(reachable_generator, token_batch([(4, 5, 6)]), token_batch([[3, EOS]]), 2)
    assert beams.item_rows[0].tolist()[0] == 0
    assert beams.scores[0, 0] == 0.0


def test_reachable_scores_are_logits_against_those_of_the_siblings_alone(tmp_path):
    model = random_t5(VOCAB_SIZE, seed=5, softmax="reachable")
    model.save_pretrained(tmp_path)
    generator = load_generator(tmp_path, "cpu")
    items, view = token_batch([(4, 5), (4, 6), (4,), (9, 7, 8)]), torch.tensor([[9, 3, EOS]])
    with torch.no_grad():
        first, second = model(input_ids=view, decoder_input_ids=torch.tensor([[PAD, 4]])).logits[0]
    first_step = torch.log_softmax(first[[4, 9]], dim=0)
    second_step = torch.log_softmax(second[[5, 6, EOS]], dim=0)
    expected = [*(first_step[0] + second_step).tolist(), float(first_step[1])]
    scores = score_all_items(generator, items, token_batch(view.tolist()))
    np.testing.assert_allclose(scores[0], expected, atol=1e-5)
    beams = searched(generator, items, token_batch(view.tolist()), 4)
    np.testing.assert_allclose(beams.scores[0], np.array(expected)[beams.item_rows[0]], atol=1e-5)


@given(st.lists(st.tuples(st.lists(st.floats(-80, 80), max_size=4), st.floats(-80, 80) | st.just(-np.inf))))
@settings(deadline=None)
def test_the_sum_over_options_is_that_of_each_beam_alone(beams):
    logits = [logit for children, _ in beams for logit in children]
    counts, ends = [len(children) for children, _ in beams], [end for _, end in beams]
    found = log_sum_over_options(torch.tensor(logits), torch.tensor(counts, dtype=torch.long), torch.tensor(ends))
    for (children, end), value in zip(beams, found.tolist(), strict=True):
        options = torch.tensor([*children, end])
        expected = float(torch.logsumexp(options, dim=0)) if options.max() > -np.inf else 0.0
        assert value == pytest.approx(expected, abs=1e-4)


def test_exhaustive_scores_are_the_log_probabilities_of_transformers(vocabulary_generator):
    generator = vocabulary_generator
    items, views = token_batch([(4, 5), (6,), (4, 7, 8)]), token_batch([[9, 3, EOS], [12, EOS]])
    model = random_t5(VOCAB_SIZE, seed=1, initializer_factor=1.5)
    scores = score_all_items(generator, items, views)
    for view in range(len(views)):
        for row in range(len(items)):
            labels = torch.tensor([[*items[row].tolist(), EOS]])
            with torch.no_grad():
                loss = model(input_ids=torch.from_numpy(views[view][None]).long(), labels=labels).loss
            assert scores[view, row] == pytest.approx(-float(loss) * labels.shape[1], abs=1e-4)


def test_views_of_different_lengths_search_as_if_alone(generator):
    items = token_batch([(a, b) for a in range(2, 12) for b in range(12, 20)])
    views = token_batch([[3, EOS], [4, 5, 6, 7, 8, 9, 10, EOS], [11, 12, EOS]])
    together = searched(generator, items, views, 10)
    for view in range(len(views)):
        alone = searched(generator, items, token_batch([views[view].tolist()]), 10)
        assert together.item_rows[view].tolist() == alone.item_rows[0].tolist()
        np.testing.assert_allclose(together.scores[view], alone.scores[0], atol=1e-5)


def test_items_of_equal_score_come_in_the_order_of_their_rows(tmp_path):
    write_random_t5(tmp_path, VOCAB_SIZE, seed=2)
    generator = load_generator(tmp_path, "cpu")
    # All tokens are equally probable, so items of one length tie to the last bit on every processor.
    generator.weights.output_embeddings.zero_()
    beams = searched(generator, token_batch([(9,), (3,), (7,), (5,)]), token_batch([[4, EOS]]), 4)
    assert beams.item_rows.tolist() == [[0, 1, 2, 3]]


def test_a_filter_that_passes_nothing_leaves_no_beam(generator):
    beams = searched(
        generator, token_batch([(4,), (5, 6)]), token_batch([[3, EOS]]), 3, np.zeros((1, 2), dtype=np.bool_)
    )
    assert (beams.item_rows == -1).all()
    assert (beams.scores == -np.inf).all()


def test_a_catalogue_without_items_leaves_no_beam(generator):
    beams = searched(generator, token_batch([]), token_batch([[3, EOS]]), 3)
    assert (beams.item_rows == -1).all()


def test_views_of_one_request_share_its_filter(generator):
    items, views = token_batch([(4,), (5,), (6,)]), token_batch([[3, EOS], [7, EOS], [8, EOS]])
    trie = trie_of_tokens(items, np.zeros(3, dtype=np.bool_))
    allowed = allowed_by(np.array([[True, False, False], [False, True, True]]))
    beams = search(
        generator,
        DeviceTrie(trie, generator),
        views,
        3,
        is_allowed=allowed,
        request_of_view=np.array([0, 0, 1]),
    )
    assert [set(rows.tolist()) - {-1} for rows in beams.item_rows] == [{0}, {0}, {1, 2}]


def test_an_empty_view_is_refused(generator):
    with pytest.raises(GeneratorError, match="expected at least 1 of each"):
        searched(generator, token_batch([(4,)]), TokenBatch(np.zeros((1, 1), np.int32), np.zeros(1, np.int32)), 3)


def test_fewer_items_than_beams_are_refused(generator):
    trie = DeviceTrie(trie_of_tokens(token_batch([(4,)]), np.zeros(1, dtype=np.bool_)), generator)
    with pytest.raises(GeneratorError, match="got 3 beams and 2 items"):
        search(generator, trie, token_batch([[3, EOS]]), 3, num_items=2)


@given(
    st.integers(1, 6).flatmap(
        lambda width: st.lists(
            st.lists(st.sampled_from([-np.inf, -2.0, -1.0, 0.5]), min_size=width, max_size=width),
            min_size=1,
            max_size=4,
        )
    ),
    st.integers(1, 7),
)
@settings(deadline=None)
def test_best_places_are_the_highest_and_the_first_of_ties(scores, count):
    places, kept = best_places(torch.tensor(scores), count)
    for row, values in enumerate(scores):
        expected = sorted(sorted(range(len(values)), key=lambda place: (-values[place], place))[:count])
        assert places[row].tolist() == expected
        assert kept[row].tolist() == [values[place] for place in expected]
