"""Attributes in answers: of any length, each in its type."""

import json

import pytest

from service.schemas.items import ItemSummary


@pytest.mark.parametrize("value", ["x" * 2000, ["a"] * 200, True, 7.0, "9", []])
def test_a_bundles_attribute_is_shown_whatever_its_length(value: str | bool | float | list[str]) -> None:
    shown = ItemSummary(item_id="a", title="Cup", attributes={"k": value}, picture_url=None, origin="bundle")
    assert json.loads(shown.model_dump_json())["attributes"]["k"] == value
    assert type(shown.attributes["k"]) is type(value)
