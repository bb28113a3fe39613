"""Ids: what no call could name is refused, and what is accepted survives a url."""

from urllib.parse import quote, unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.values.ids import MAX_ID_CHARACTERS, check_item_id, check_user_id, shown

ODD = {
    "": "0 characters",
    "x" * (MAX_ID_CHARACTERS + 1): "257 characters, expected 1 to 256; shorten it",
    "a\nb": "line breaks",
    "a\0": "control characters",
    " a": "begins or ends with a space",
    "a ": "begins or ends with a space",
    "..": "'.' or '..' part",
    "a/../b": "'.' or '..' part",
    "a//b": "empty",
    "/a": "empty",
    "a/similar": "path of another call",
    "a/picture": "path of another call",
    "bulk": "is reserved",
}


@pytest.mark.parametrize(("item_id", "reason"), ODD.items(), ids=[shown(item_id, 10) for item_id in ODD])
def test_an_id_of_an_item_that_no_call_could_name_is_refused(item_id: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_item_id(item_id)


@pytest.mark.parametrize("user_id", ["", "x" * 257, "a\0b", "\x7f"])
def test_an_id_of_a_user_that_no_database_stores_is_refused(user_id: str) -> None:
    with pytest.raises(ValueError, match="characters"):
        check_user_id(user_id)


@pytest.mark.parametrize("user_id", ["a\nb", " a ", "..", "https://id.example.org/7", "similar", "x" * 256])
def test_other_ids_of_users_are_accepted(user_id: str) -> None:
    assert check_user_id(user_id) == user_id


@given(st.text(max_size=20) | st.text("a./ ", max_size=8))
def test_an_accepted_id_of_an_item_comes_back_from_a_url_with_and_without_escaped_slashes(item_id: str) -> None:
    try:
        check_item_id(item_id)
    except ValueError:
        return
    for safe in ("", "/"):
        path = httpx.URL(f"http://shop/items/{quote(item_id, safe=safe)}").raw_path.decode()
        assert unquote(path) == f"/items/{item_id}"
    assert check_user_id(item_id) == item_id
