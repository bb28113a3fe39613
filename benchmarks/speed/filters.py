"""How long a filter takes to become a mask over the catalogue, by number of items.

    python -m benchmarks.speed.filters [--json FILE] [--quick]

Made shops with a category, a brand and a price each; the filter asks for two categories, a range of prices and not
one brand. The best of many runs: a busy machine says nothing of the code.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.report import Row, run_benchmark
from clairo_core.selection.attribute_columns import AttributeColumns
from clairo_core.selection.item_filters import AllOf, IsBetween, IsOneOf, Not, allowed_rows

WANTED = AllOf(
    (
        IsOneOf("category", ("category 3", "category 7")),
        IsBetween("price", at_least=10, at_most=40),
        Not(IsOneOf("brand", ("brand 12",))),
    )
)
RUNS = 40


def rows(quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    table = []
    for num_items in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        columns = AttributeColumns(made_attributes(num_items))
        seconds = []
        for _ in range(RUNS):
            started_at = time.perf_counter()
            allowed_rows(WANTED, columns, num_items)
            seconds.append(time.perf_counter() - started_at)
        must = 5.0 if num_items == 100_000 else None
        table.append(Row(f"mask of {num_items:,} items, three conditions", min(seconds) * 1000, "ms", "lower", must))
    return "made shops, 50 categories, 2,000 brands, 9,900 prices", table


def made_attributes(num_items: int) -> Iterator[dict[str, str]]:
    """Attributes of so many items, drawn at random."""
    random = np.random.default_rng(0)
    for category, brand, cents in zip(
        random.integers(50, size=num_items).tolist(),
        random.integers(2000, size=num_items).tolist(),
        random.integers(100, 10_000, size=num_items).tolist(),
        strict=True,
    ):
        yield {"category": f"category {category}", "brand": f"brand {brand}", "price": f"{cents / 100:.2f}"}


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
