import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.build_recommender import build_recommender, load_recommender
from clairo_core.catalogue import build_catalogue
from clairo_core.errors import GeneratorError
from clairo_core.generation.t5.generator import load_generator
from clairo_core.generation.token_generator import TokenGenerator
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationList, RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import random_feature_sets, tiny_vocabulary, write_random_t5

SIZES = (8, 8, 4)
NUM_ITEMS = 60
FEATURE_SETS = random_feature_sets(NUM_ITEMS + 1, SIZES)
NEW_FEATURE_SET = tuple(FEATURE_SETS[NUM_ITEMS].tolist())
TOKENIZER = Tokenizer(tiny_vocabulary(SIZES, merges=[(2, 10), (18, 22), (3, 11), (4, 12), (5, 13)]))
IDS = [f"item-{row}" for row in range(NUM_ITEMS)]
POPULARITY = np.random.default_rng(0).integers(1, 100, size=NUM_ITEMS)


@pytest.fixture(scope="module", params=["vocabulary", "reachable"])
def generator(request, tmp_path_factory):
    folder = write_random_t5(tmp_path_factory.mktemp("t5"), TOKENIZER.vocabulary.size, seed=4, softmax=request.param)
    return load_generator(folder, "cpu")


@pytest.fixture(scope="module")
def recommender(generator) -> Recommender:
    catalogue = build_catalogue(IDS, FEATURE_SETS[:NUM_ITEMS], TOKENIZER)
    return build_recommender(catalogue, TOKENIZER, generator, POPULARITY, num_views=3, num_beams=20)


def ids_of(answer: RecommendationList) -> list[str]:
    return [entry.item_id for entry in answer.items]


def history(*rows: int) -> UserHistory:
    return UserHistory(tuple(f"item-{row}" for row in rows))


def by_popularity(*left_out: int) -> list[str]:
    rows = [row for row in np.argsort(-POPULARITY, kind="stable") if row not in left_out]
    return [f"item-{row}" for row in rows]


def test_a_history_is_answered_with_ranked_generated_items(recommender):
    answer = recommender.recommend(history(3, 1, 4), 10)
    assert answer.fallback_reason is None
    assert [entry.rank for entry in answer.items] == list(range(1, 11))
    assert {entry.source for entry in answer.items} == {"generative"}
    scores = [entry.score for entry in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] < 0


def test_equal_requests_have_equal_answers_and_another_seed_may_differ(recommender):
    request = history(3, 1, 4, 20, 30)
    assert recommender.recommend(request, 10, seed=5) == recommender.recommend(request, 10, seed=5)
    scores = {recommender.recommend(request, 1, seed=seed).items[0].score for seed in range(5)}
    assert len(scores) > 1


def test_seen_items_are_recommended_only_on_request_and_excluded_ones_never(recommender):
    seen = history(*range(40))
    assert not set(ids_of(recommender.recommend(seen, 20))) & set(seen.item_ids)
    assert len(ids_of(recommender.recommend(seen, 60, include_seen=True))) == 60
    left = ids_of(recommender.recommend(seen, 60, exclude=["item-41", "nobody"]))
    assert sorted(left) == sorted(f"item-{row}" for row in [40, *range(42, 60)])


def test_items_seen_before_the_newest_ones_are_left_out_too(recommender):
    long_history = history(*range(50))
    assert recommender.max_history_items < 50
    assert sorted(ids_of(recommender.recommend(long_history, 10))) == sorted(f"item-{row}" for row in range(50, 60))


def test_only_the_newest_items_of_a_history_are_read(recommender):
    newest = list(range(30, 50))
    whole = recommender.recommend(history(*range(30), *newest), 10, include_seen=True)
    assert whole == recommender.recommend(history(*newest), 10, include_seen=True)


@pytest.mark.parametrize(("item_ids", "reason"), [((), "empty_history"), (("nobody", "no-one"), "unknown_history")])
def test_a_history_without_a_known_item_gets_the_popular_list_and_a_reason(recommender, item_ids, reason):
    answer = recommender.recommend(UserHistory(item_ids), 10)
    assert answer.fallback_reason == reason
    assert ids_of(answer) == by_popularity()[:10]
    assert {entry.source for entry in answer.items} == {"popular"}
    scores = [entry.score for entry in answer.items]
    assert scores == sorted(scores, reverse=True)


def test_unknown_items_of_a_history_are_left_out(recommender):
    mixed = UserHistory(("nobody", "item-3", "no-one", "item-9"))
    assert recommender.recommend(mixed, 10) == recommender.recommend(history(3, 9), 10)


def test_the_popular_list_leaves_excluded_and_retired_items_out(recommender):
    retired = recommender.with_catalogue(recommender.catalogue.without_item(by_popularity()[0]))
    expected = by_popularity()[2:7]
    assert ids_of(retired.recommend(UserHistory(()), 5, exclude=[by_popularity()[1]])) == expected


def test_a_limit_above_the_catalogue_gives_all_items_and_a_reason(recommender):
    answer = recommender.recommend(history(0, 1), 1000)
    assert answer.fallback_reason == "catalogue_exhausted"
    assert sorted(ids_of(answer)) == sorted(f"item-{row}" for row in range(2, 60))
    assert {entry.source for entry in answer.items} == {"generative"}


def test_a_limit_of_zero_gives_an_empty_list(recommender):
    assert recommender.recommend(history(3), 0) == RecommendationList(())


@given(
    st.lists(st.integers(0, NUM_ITEMS - 1), max_size=12),
    st.sets(st.integers(0, NUM_ITEMS - 1)),
    st.integers(1, 70),
    st.booleans(),
    st.one_of(st.none(), st.lists(st.booleans(), min_size=NUM_ITEMS - 5, max_size=NUM_ITEMS)),
)
@settings(max_examples=40, deadline=None)
def test_every_allowed_item_up_to_the_limit_is_listed_once(recommender, seen, excluded, limit, include_seen, flags):
    request = RecommendationRequest(
        history=history(*seen),
        limit=limit,
        include_seen=include_seen,
        exclude=frozenset(f"item-{row}" for row in excluded),
        is_allowed=None if flags is None else np.array(flags),
    )
    allowed = set(range(NUM_ITEMS)) - excluded - (set() if include_seen else set(seen))
    if flags is not None:
        allowed &= {row for row, flag in enumerate(flags) if flag}
    answer = recommender.recommend_batch([request])[0]
    rows = [int(item_id.removeprefix("item-")) for item_id in ids_of(answer)]
    assert len(set(rows)) == len(rows) == min(limit, len(allowed))
    assert set(rows) <= allowed


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(recommender):
    random = np.random.default_rng(1)
    requests = [
        RecommendationRequest(
            history=history(*random.integers(NUM_ITEMS, size=length).tolist()),
            limit=int(random.integers(1, 30)),
            include_seen=bool(length % 2),
            seed=length,
        )
        for length in [0, 1, 5, 12, 3, 30, 2, 0, 9]
    ]
    together = recommender.recommend_batch(requests)
    for request, answer in zip(requests, together, strict=True):
        alone = recommender.recommend_batch([request])[0]
        assert ids_of(answer) == ids_of(alone)
        assert answer.fallback_reason == alone.fallback_reason
        np.testing.assert_allclose(
            [entry.score for entry in answer.items], [entry.score for entry in alone.items], atol=1e-4
        )


def test_many_histories_are_answered_in_their_order(recommender):
    histories = [history(row, row + 1) for row in range(0, 58)] + [UserHistory(())] * 12
    answers = recommender.recommend_many(histories, 5, include_seen=True)
    assert len(answers) == 70
    assert ids_of(answers[7]) == ids_of(recommender.recommend(histories[7], 5, include_seen=True))
    assert answers[69].fallback_reason == "empty_history"


def test_a_new_item_can_be_generated_by_the_next_request(recommender):
    catalogue = recommender.catalogue.with_item("new", NEW_FEATURE_SET, TOKENIZER)
    later = recommender.with_catalogue(catalogue)
    everything = ids_of(later.recommend(history(3), 100))
    assert "new" in everything
    assert "new" not in ids_of(recommender.recommend(history(3), 100))
    assert isinstance(later.generator, TokenGenerator)
    assert isinstance(recommender.generator, TokenGenerator)
    assert later.generator.t5 is recommender.generator.t5
    answer = later.recommend(UserHistory(("new",)), 5)
    assert answer.fallback_reason is None
    # Without interactions it is the last of the popular items.
    assert ids_of(later.recommend(UserHistory(()), 100))[-1] == "new"


def test_a_retired_item_is_never_recommended_but_still_read_in_histories(recommender):
    first = recommender.recommend(history(3), 1).items[0].item_id
    later = recommender.with_catalogue(recommender.catalogue.without_item(first))
    assert first not in ids_of(later.recommend(history(3), 100, include_seen=True))
    assert later.recommend(UserHistory((first,)), 3).fallback_reason is None
    assert recommender.recommend(history(3), 1).items[0].item_id == first


def test_a_filter_made_before_an_item_was_added_leaves_it_out(recommender):
    later = recommender.with_catalogue(recommender.catalogue.with_item("new", NEW_FEATURE_SET, TOKENIZER))
    request = RecommendationRequest(history=history(3), limit=100, is_allowed=np.ones(NUM_ITEMS, dtype=np.bool_))
    assert "new" not in ids_of(later.recommend_batch([request])[0])
    longer = dataclasses.replace(request, is_allowed=np.ones(NUM_ITEMS + 5, dtype=np.bool_))
    assert "new" in ids_of(later.recommend_batch([longer])[0])


def test_a_generator_of_another_vocabulary_is_refused(tmp_path, recommender):
    write_random_t5(tmp_path, 77)
    with pytest.raises(GeneratorError, match="the generator has 77 tokens, expected"):
        load_recommender(tmp_path, TOKENIZER, recommender.catalogue, POPULARITY, device="cpu")


def test_an_item_described_again_is_generated_by_its_new_tokens(recommender, generator):
    later = recommender.with_catalogue(
        recommender.catalogue.with_feature_sets([7], [NEW_FEATURE_SET], TOKENIZER).with_changed_content()
    )
    sets = FEATURE_SETS[:NUM_ITEMS].copy()
    sets[7] = NEW_FEATURE_SET
    built = build_recommender(
        build_catalogue(IDS, sets, TOKENIZER), TOKENIZER, generator, POPULARITY, num_views=3, num_beams=20
    )
    for seen in (history(3, 1, 4), history(7), history(20, 7, 9)):
        assert later.recommend(seen, 30) == built.recommend(seen, 30)
    assert recommender.catalogue.feature_sets[7].tolist() == FEATURE_SETS[7].tolist()


@given(
    st.lists(st.integers(0, NUM_ITEMS - 1), max_size=8),
    st.sets(st.integers(0, NUM_ITEMS - 1)),
    st.sets(st.integers(0, NUM_ITEMS - 1)),
)
@settings(max_examples=20, deadline=None)
def test_candidates_come_back_complete_whatever_else_the_request_leaves_out(recommender, seen, candidates, left_out):
    left_out_ids = tuple(f"item-{row}" for row in left_out)
    request = RecommendationRequest(
        history=history(*seen),
        limit=len(candidates),
        exclude=left_out_ids,
        disliked=left_out_ids,
        is_allowed=np.zeros(NUM_ITEMS, dtype=np.bool_),
        candidates=tuple(f"item-{row}" for row in candidates),
    )
    answer = recommender.recommend_batch([request])[0]
    assert sorted(ids_of(answer)) == sorted(request.candidates)


def test_lifts_are_added_to_scores_and_shorter_ones_reach_no_later_item(recommender):
    lifts = np.zeros(NUM_ITEMS - 5)
    lifts[10:20] = 3.0
    for seen in (history(3, 1, 4), history()):
        # As many beams as there are items: the generator alone finds all of them.
        request = RecommendationRequest(history=seen, limit=NUM_ITEMS)
        plain, lifted = recommender.recommend_batch([request, dataclasses.replace(request, lifts=lifts)])
        score_of = {entry.item_id: entry.score for entry in plain.items}
        for entry in lifted.items:
            lift = 3.0 if 10 <= int(entry.item_id.removeprefix("item-")) < 20 else 0.0
            assert entry.score == pytest.approx(score_of[entry.item_id] + lift, abs=1e-4)


def test_strangers_are_answered_by_the_requests_weights_and_others_are_not(recommender):
    weights = np.arange(NUM_ITEMS)
    requests = [
        RecommendationRequest(history=seen, limit=3, stranger_weights=weights) for seen in (history(), history(3, 1))
    ]
    of_stranger, of_known = recommender.recommend_batch(requests)
    assert ids_of(of_stranger) == ["item-59", "item-58", "item-57"]
    assert ids_of(of_known) == ids_of(recommender.recommend(history(3, 1), 3))
