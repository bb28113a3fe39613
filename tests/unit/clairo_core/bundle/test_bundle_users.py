"""Users in a bundle: kept, read back, found."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.bundle.bundle_users import MAX_KEPT_ITEMS, NO_USERS, USERS_FOLDER, keep_users, load_users
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.errors import BundleError
from clairo_core.sequences import ItemSequences
from clairo_core.values.ids import anonymous_user_id
from tests.tiny import tiny_bundle


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.lists(st.integers(0, 20), max_size=6), max_size=8))
def test_every_user_is_found_with_his_items_and_nobody_else(histories: dict[str, list[int]]) -> None:
    users = keep_users(list(histories), ItemSequences.from_lists(list(histories.values())))
    assert users.user_ids == tuple(sorted(histories))
    for user_id, items in histories.items():
        row = users.find_row(user_id)
        assert row is not None
        assert users.newest[row].tolist() == items
        assert users.disliked_of(row).tolist() == []
    assert users.find_row("no such user") is None


def test_of_a_long_history_the_newest_items_are_kept() -> None:
    long = np.arange(MAX_KEPT_ITEMS + 5)
    users = keep_users(["b", "a"], ItemSequences.from_lists([long.tolist(), [7]]))
    assert users.newest[0].tolist() == [7]
    assert users.newest[1].tolist() == long[5:].tolist()


def test_saved_users_are_read_back(tmp_path: Path) -> None:
    users = keep_users(
        ["b", "ä", "a"], ItemSequences.from_lists([[1, 2], [], [0]]), ItemSequences.from_lists([[4], [], []])
    )
    users.save(tmp_path / "users")
    read = load_users(tmp_path / "users", 5)
    assert read.user_ids == ("a", "b", "ä")
    assert [items.tolist() for items in read.newest] == [[0], [1, 2], []]
    assert [read.disliked_of(row).tolist() for row in range(3)] == [[], [4], []]
    with pytest.raises(BundleError, match="of 4"):
        load_users(tmp_path / "users", 4)


def test_a_bundle_keeps_no_user_unasked(tmp_path: Path) -> None:
    plain = tiny_bundle(tmp_path / "plain", num_items=20)
    assert not (plain / USERS_FOLDER).exists()
    assert load_bundle(plain).users is NO_USERS
    users = keep_users(["ann"], ItemSequences.from_lists([[3]]))
    with_users = tiny_bundle(tmp_path / "users", num_items=20, users=users)
    assert load_bundle(with_users).users.user_ids == ("ann",)
    # Its users get other recommendations by their ids.
    assert read_manifest(with_users).bundle_id != read_manifest(plain).bundle_id


def test_sessions_of_visitors_who_are_not_signed_in_are_not_kept() -> None:
    users = keep_users([anonymous_user_id("s-1"), "ann"], ItemSequences.from_lists([[1], [2]]))
    assert users.user_ids == ("ann",)
    assert [rows.tolist() for rows in users.newest] == [[2]]
