"""Time a filter's evaluation to a mask over the catalogue, by number of items.

    python -m benchmarks.speed.filters [--json FILE] [--quick]

Items of made shops have a category, a brand and a price. The filter allows two categories and a price range, and
excludes one brand. A time is the fastest of many runs: other work on the machine only ever adds to it.
"""

import sys
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.report import Row, run_benchmark
from benchmarks.speed.timing import fastest
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
    """Describe the data, and time each size."""
    table = []
    for num_items in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        columns = AttributeColumns(made_attributes(num_items))
        seconds = fastest(partial(allowed_rows, WANTED, columns, num_items), RUNS)
        must = 5.0 if num_items == 100_000 else None
        table.append(Row(f"mask of {num_items:,} items, three conditions", seconds * 1000, "ms", "lower", must))
    return "made shops, 50 categories, 2,000 brands, 9,900 prices", table


def made_attributes(num_items: int) -> Iterator[dict[str, str]]:
    """Draw the attributes of `num_items` items."""
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
