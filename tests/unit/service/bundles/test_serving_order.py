"""The order in which bundles were served, by the recorded activations."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from service.bundles.swap import serving_order

BUNDLES = st.sampled_from("abcde")


def test_going_back_removes_the_bundle_and_a_later_return_adds_it() -> None:
    assert serving_order("a", []) == ["a"]
    assert serving_order("a", ["b", "c"]) == ["a", "b", "c"]
    assert serving_order("a", ["b", "c", "b"]) == ["a", "b"]
    assert serving_order("a", ["b", "c", "b", "c"]) == ["a", "b", "c"]
    assert serving_order("a", ["b", "c", "a"]) == ["a", "b", "c", "a"]


def test_two_processes_that_record_the_same_rollback_go_back_once() -> None:
    assert serving_order("a", ["b", "c", "b", "b"]) == ["a", "b"]


def test_without_a_readable_bundle_in_the_settings_the_first_activated_one_is_the_first() -> None:
    assert serving_order(None, []) == []
    assert serving_order(None, ["b", "c", "b"]) == ["b"]


@given(BUNDLES, st.lists(BUNDLES))
def test_the_last_activated_bundle_is_the_last_and_no_bundle_follows_itself(configured: str, log: list[str]) -> None:
    order = serving_order(configured, log)
    assert order[-1] == [configured, *log][-1]
    assert all(one != next_one for one, next_one in pairwise(order))


@given(BUNDLES, st.lists(BUNDLES))
def test_going_back_again_and_again_ends_at_the_first_bundle(configured: str, log: list[str]) -> None:
    recorded, orders = list(log), [serving_order(configured, log)]
    while len(orders[-1]) > 1:
        recorded.append(orders[-1][-2])
        orders.append(serving_order(configured, recorded))
        assert orders[-1] == orders[-2][:-1]
    assert orders[-1] == [configured]
