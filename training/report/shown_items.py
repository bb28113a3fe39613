"""An item of a bundle with its picture, for pages."""

from dataclasses import replace

from clairo_core.bundle.bundle import Bundle
from clairo_core.items import Item


def shown_item(bundle: Bundle, row: int) -> Item:
    """The item in this row with its picture, which a bundle keeps apart."""
    return replace(bundle.items[row], picture=bundle.read_picture(row))
