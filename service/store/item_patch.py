"""A change of single fields of an item: absent stays, None removes.

Source: RFC 7396, "JSON Merge Patch", for items.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from clairo_core.attributes import Value
from clairo_core.items import Item
from service.errors import InvalidItemError

LEADING_TEXTS = ("title", "description")
"""They come first in reading order."""
MAX_TEXT_FIELDS = 20
"""Beside title and description."""
MAX_ATTRIBUTES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPatch:
    """New texts, attributes and picture of an item; what is not named stays."""

    item_id: str
    texts: Mapping[str, str | None] = field(default_factory=dict)
    attributes: Mapping[str, Value | None] = field(default_factory=dict)
    drops_texts: bool = False
    """Whether all texts but title and description are removed first."""
    drops_attributes: bool = False
    """Whether all attributes are removed first."""
    picture: bytes | None = None
    keeps_picture: bool = True
    """Whether the picture stays; otherwise `picture` takes its place, and None removes it."""

    @property
    def given_attributes(self) -> dict[str, Value]:
        """The attributes that get a value."""
        return {name: value for name, value in self.attributes.items() if value is not None}


def patched(item: Item, patch: ItemPatch, *, has_picture: bool) -> Item:
    """The item with new words and attributes; its picture is not touched.

    Args:
        item: as it is.
        patch: of this item.
        has_picture: whether the item has a picture after the patch.

    Raises:
        InvalidItemError: neither words nor a picture are left, or there are too many fields.
    """
    texts = {name: text for name, text in item.texts.items() if not patch.drops_texts or name in LEADING_TEXTS}
    # Only for a new title or description: the order of a data set's own fields decides how an item is described.
    is_new_leading = any(patch.texts.get(name) and name not in texts for name in LEADING_TEXTS)
    texts = {name: text for name, text in {**texts, **patch.texts}.items() if text is not None}
    if is_new_leading:
        leading = {name: texts[name] for name in LEADING_TEXTS if name in texts}
        texts = leading | texts
    before = {} if patch.drops_attributes else item.attributes
    attributes = {name: value for name, value in {**before, **patch.attributes}.items() if value is not None}
    if not texts and not has_picture:
        raise InvalidItemError(patch.item_id, [], "neither words nor a picture would be left; keep a text or a picture")
    for name, fields, most in (
        ("texts", texts.keys() - {*LEADING_TEXTS}, MAX_TEXT_FIELDS),
        ("attributes", attributes.keys(), MAX_ATTRIBUTES),
    ):
        if len(fields) > max(most, len(getattr(item, name))):
            raise InvalidItemError(
                patch.item_id, [name], f"{name} would be {len(fields)}, expected at most {most}; remove some with null"
            )
    return replace(item, texts=texts, attributes=attributes)
