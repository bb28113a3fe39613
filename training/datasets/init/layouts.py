"""The exports whose columns are known: Shopify, WooCommerce, GA4. Start at `known_layout`."""

from collections.abc import Collection
from dataclasses import dataclass

from training.datasets.init.settings import Section, Setting


@dataclass(frozen=True, slots=True)
class Layout:
    """One published layout of a file."""

    name: str
    is_items: bool
    needs: frozenset[str]
    """Columns by which it is recognized."""
    settings: tuple[Setting, ...]
    notes: tuple[str, ...] = ()

    def fill(self, section: Section, columns: Collection[str]) -> None:
        """Add the settings, without columns that the file lacks."""
        section.what = self.name
        section.notes += self.notes
        for setting in self.settings:
            value = setting.value
            if setting.key == "attribute_types" and isinstance(value, dict):
                value = {name: of for name, of in value.items() if name in columns}
            elif isinstance(value, dict):
                value = {name: of for name, of in value.items() if name in columns and of in columns}
            elif isinstance(value, tuple):
                value = tuple(column for column in value if column.split("[")[0] in columns)
            section.set(setting.key, value, setting.why)


def _options(name: str, value: str, count: int) -> dict[str, str]:
    return {name.format(number): value.format(number) for number in range(1, count + 1)}


LAYOUTS = (
    Layout(
        "Shopify, Products > Export",
        True,
        frozenset({"Handle", "Title", "Variant SKU"}),
        (
            Setting("item_id", "Handle"),
            Setting("group_variants", "Handle", "a product's rows: its variants and further pictures"),
            Setting("item_key", "Variant SKU", "orders name variants by SKU"),
            Setting("texts", ("Title", "Body (HTML)"), "in reading order, the title first"),
            Setting(
                "attributes", ("Vendor", "Type", "Product Category", "Tags", "Variant Price", "Status"), "for filters"
            ),
            Setting(
                "attribute_types",
                {"Product Category": "path", "Tags": "list", "Variant Price": "number"},
                "for filters; others are text",
            ),
            Setting("options", _options("Option{} Name", "Option{} Value", 3)),
            Setting("picture", "Image Src"),
        ),
    ),
    Layout(
        "Shopify, Orders > Export",
        False,
        frozenset({"Name", "Email", "Lineitem sku"}),
        (
            Setting("order_id", "Name", "customer and time are in an order's first row only"),
            Setting("user_id", "Email"),
            Setting("item_id", "Lineitem sku"),
            Setting("timestamp", "Created at"),
            Setting("skip_without", ("Email", "Lineitem sku")),
            Setting("unknown_items", "drop", "deleted products"),
        ),
        (
            "orders that were refunded or voided count, too; to tell them apart, replace event by",
            'type = "Financial Status" and declare paid, refunded and the others in [events]',
        ),
    ),
    Layout(
        "WooCommerce, Products > Export",
        True,
        frozenset({"ID", "SKU", "Name", "Parent", "Categories"}),
        (
            Setting("item_id", "ID"),
            Setting("group_variants", "Parent", "variations belong to the product that they name"),
            Setting("item_key", "SKU", "orders name variations by SKU"),
            Setting("texts", ("Name", "Short description", "Description"), "in reading order, the title first"),
            Setting("attributes", ("Categories", "Tags", "Brands", "Regular price", "Sale price"), "for filters"),
            Setting(
                "attribute_types",
                {
                    "Categories": "list",
                    "Tags": "list",
                    "Brands": "list",
                    "Regular price": "number",
                    "Sale price": "number",
                },
                "for filters; others are text",
            ),
            Setting("options", _options("Attribute {} name", "Attribute {} value(s)", 5)),
            Setting("picture", "Images", "the first of several urls"),
        ),
    ),
    Layout(
        "GA4, export to BigQuery",
        False,
        frozenset({"event_name", "event_timestamp", "user_pseudo_id", "items"}),
        (
            Setting("user_id", "user_pseudo_id"),
            Setting("item_id", "items[].item_id", "one row per item of an event"),
            Setting("timestamp", "event_timestamp"),
            Setting("type", "event_name"),
            Setting("skip_without", ("user_pseudo_id", "items[].item_id")),
            Setting("unknown_items", "drop"),
        ),
    ),
)


def known_layout(columns: Collection[str]) -> Layout | None:
    """The layout whose columns a file has; None if there is none."""
    return next((layout for layout in LAYOUTS if layout.needs <= set(columns)), None)
