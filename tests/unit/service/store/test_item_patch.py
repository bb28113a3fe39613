"""A patch of an item agrees with RFC 7396 on its JSON."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.items import Item
from service.errors import InvalidItemError
from service.store.item_patch import ItemPatch, patched

NAMES = st.sampled_from(["title", "description", "care", "name"])
TEXTS = st.dictionaries(NAMES, st.sampled_from(["one", "two"]))
CHANGES = st.dictionaries(NAMES, st.sampled_from(["one", "three", None]))
ATTRIBUTES = st.dictionaries(st.sampled_from("abc"), st.sampled_from([1.0, True, "x", ("y", "z")]))
ATTRIBUTE_CHANGES = st.dictionaries(st.sampled_from("abc"), st.sampled_from([2.0, ("z",), None]))


def merge_patch(target: Any, patch: Any) -> Any:
    """The pseudocode of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


@given(TEXTS, CHANGES, ATTRIBUTES, ATTRIBUTE_CHANGES)
def test_a_patched_item_is_the_merge_of_its_json(
    texts: dict[str, str], of_texts: dict[str, Any], attributes: dict[str, Any], of_attributes: dict[str, Any]
) -> None:
    item = Item(item_id="mug", texts=texts, attributes=attributes)
    patch = ItemPatch(item_id="mug", texts=of_texts, attributes=of_attributes)
    expected = merge_patch({"texts": texts, "attributes": attributes}, {"texts": of_texts, "attributes": of_attributes})
    found = patched(item, patch, has_picture=True)
    assert {"texts": dict(found.texts), "attributes": dict(found.attributes)} == expected
    # Sent again, it changes nothing.
    again = patched(found, patch, has_picture=True)
    assert (again.texts, list(again.texts)) == (found.texts, list(found.texts))


def test_a_new_title_comes_first_and_known_fields_keep_their_order() -> None:
    item = Item(item_id="mug", texts={"name": "Mug", "title": "Dawn"})
    assert list(patched(item, ItemPatch(item_id="mug", texts={"title": "Dusk"}), has_picture=False).texts) == [
        "name",
        "title",
    ]
    item = Item(item_id="mug", texts={"care": "By hand", "description": "Stoneware"})
    assert list(patched(item, ItemPatch(item_id="mug", texts={"title": "Dusk"}), has_picture=False).texts) == [
        "title",
        "description",
        "care",
    ]


def test_nothing_to_describe_an_item_by_is_refused() -> None:
    item = Item(item_id="mug", texts={"title": "Mug"})
    patch = ItemPatch(item_id="mug", texts={"title": None})
    assert patched(item, patch, has_picture=True).texts == {}
    with pytest.raises(InvalidItemError, match="item 'mug': neither words nor a picture would be left"):
        patched(item, patch, has_picture=False)
