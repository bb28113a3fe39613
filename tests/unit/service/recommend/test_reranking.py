"""Group, diversity and pins on finished lists: examples worked by hand, and their laws."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.items import UserHistory
from clairo_core.recommendation import Recommendation, RecommendationList
from service.recommend.reranking import GROUP_EXHAUSTED, GroupCap, Placed, pool_size, ranked, with_pins
from service.recommend.wanted import Group, Pin, Wanted

BRAND = {name: name[0] for name in ("a1", "a2", "a3", "b1", "b2", "c1")}


def found(*item_ids: str, source: str = "generative") -> tuple[Recommendation, ...]:
    """Items ranked in this order."""
    return tuple(Recommendation(item_id, rank, -float(rank), source) for rank, item_id in enumerate(item_ids, 1))


def wanted(limit: int, group_limit: int | None = None, **further: object) -> Wanted:
    group = None if group_limit is None else Group("few-of-a-brand", "brand", group_limit)
    return Wanted(history=UserHistory(()), limit=limit, group=group, **further)  # type: ignore[arg-type]


def listed(
    items: tuple[Recommendation, ...], request: Wanted, *pins: tuple[int, str]
) -> tuple[list[tuple[str, int, tuple[str, ...]]], str | None]:
    """Id, rank and rules of each item, and the fallback reason."""
    cap = GroupCap(request.group, lambda item_id: (BRAND[item_id],) if item_id in BRAND else ())
    pinned = [(Pin(f"pin-{rank}", name, rank), Recommendation(name, 1, -9.0, "dense")) for rank, name in pins]
    answer = ranked(RecommendationList(items), pinned, request, 0.0, lambda ids: np.eye(len(ids)), cap)
    return [(item.item_id, item.rank, item.rules) for item in answer.items], answer.fallback_reason


def test_without_rules_the_list_is_cut_to_its_limit() -> None:
    assert listed(found("a1", "a2", "a3"), wanted(2)) == ([("a1", 1, ()), ("a2", 2, ())], None)


def test_a_group_lists_few_items_of_a_brand_and_names_itself_on_those_that_rise() -> None:
    items, reason = listed(found("a1", "a2", "a3", "b1", "b2", "c1"), wanted(4, 1))
    assert items == [("a1", 1, ()), ("b1", 2, ("few-of-a-brand",)), ("c1", 3, ("few-of-a-brand",))]
    assert reason == GROUP_EXHAUSTED


def test_items_without_the_attribute_are_not_limited() -> None:
    items, reason = listed(found("x", "a1", "y", "a2", "z"), wanted(4, 1))
    assert [name for name, *_ in items] == ["x", "a1", "y", "z"]
    assert reason is None


def test_a_pin_stands_at_its_rank_and_counts_in_its_group() -> None:
    items, _ = listed(found("a1", "b1", "b2", "c1"), wanted(3, 1), (2, "a3"))
    assert items == [("b1", 1, ("few-of-a-brand",)), ("a3", 2, ("pin-2",)), ("c1", 3, ("few-of-a-brand",))]


def test_ranks_and_pins_count_on_over_pages() -> None:
    items, _ = listed(found("a1", "b1"), wanted(2, given=("x", "y", "z")), (5, "c1"))
    assert [(name, rank) for name, rank, _ in items] == [("a1", 4), ("c1", 5)]


def test_a_group_is_found_behind_many_items_of_full_ones() -> None:
    assert pool_size(wanted(10, 1), 0.0) > pool_size(wanted(10), 0.0) == 10


@given(
    num_items=st.integers(0, 12),
    ranks=st.sets(st.integers(1, 20), max_size=6),
    num_given=st.integers(0, 5),
    limit=st.integers(1, 10),
)
@settings(deadline=None)
def test_pins_stand_where_they_are_pinned_and_others_keep_their_order(
    num_items: int, ranks: set[int], num_given: int, limit: int
) -> None:
    others = [Placed(item, ()) for item in found(*(f"item-{place}" for place in range(num_items)))]
    pinned = [
        (Pin("pin", f"pinned-{rank}", rank), found(f"pinned-{rank}")[0]) for rank in sorted(ranks) if rank > num_given
    ]
    placed = [item.item_id for item, _ in with_pins(others, pinned, num_given, limit)]
    assert len(placed) == len(set(placed)) == min(limit, num_items + len(pinned))
    of_others = [item_id for item_id in placed if item_id.startswith("item")]
    assert of_others == [f"item-{place}" for place in range(len(of_others))]
    for pin, item in pinned:
        if num_given < pin.rank <= num_given + len(placed) and len(of_others) < num_items:
            assert placed[pin.rank - num_given - 1] == item.item_id


@given(
    brands=st.lists(st.lists(st.sampled_from("abcd"), max_size=3), max_size=20),
    cap=st.integers(1, 3),
    limit=st.integers(1, 20),
    diversity=st.sampled_from([0.0, 0.5]),
)
@settings(deadline=None)
def test_no_group_exceeds_its_limit_and_no_item_is_left_out_without_need(
    brands: list[list[str]], cap: int, limit: int, diversity: float
) -> None:
    names = [f"item-{place}" for place in range(len(brands))]
    brands_of = {name: tuple(of_item) for name, of_item in zip(names, brands, strict=True)}
    request = wanted(limit, cap, diversity=diversity)
    answer = ranked(
        RecommendationList(found(*names)),
        [],
        request,
        0.0,
        lambda ids: np.eye(len(ids)),
        GroupCap(request.group, brands_of.__getitem__),
    )
    shown = [item.item_id for item in answer.items]
    counts = {brand: sum(brand in brands_of[name] for name in shown) for brand in "abcd"}
    assert max(counts.values()) <= cap
    if len(shown) < limit:
        left = set(names) - set(shown)
        assert all(any(counts[brand] == cap for brand in brands_of[name]) for name in left)
