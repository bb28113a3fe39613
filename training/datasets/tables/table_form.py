"""How the rows of a file are written and filled."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TableForm:
    """How a file's rows are written and filled, where the file alone does not show it."""

    separator: str | None = None
    """Of a CSV; None: the one of its header."""
    encoding: str = "utf-8"
    """Of a CSV or TSV."""
    timestamp_format: str | None = None
    """In the directives of `strptime`; None: any form that has one reading."""
    order_id: str | None = None
    """Column whose equal values in neighbouring rows make one order."""
    fill_down: tuple[str, ...] = ()
    """Columns whose blank fields repeat the value above, within an order."""
    skip_without: tuple[str, ...] = ()
    """Rows without a value in one of these columns are left out."""
