"""Measure the memory of reading a Parquet data set of events: part by part, and as one table.

    python -m benchmarks.speed.large_tables [--json FILE] [--quick]

Twenty events per user, 50,000 items by Zipf's law, ids of 13 to 20 characters, 2,000,000 events per file. Each reading
runs in its own process; its memory is the peak beyond that of a process that has read the items alone.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.memory import MIB, in_own_process, peak_bytes
from benchmarks.report import Row, run_benchmark
from clairo_core.progress import Progress, silent
from training.datasets import describe_dataset, load_dataset
from training.datasets.check import check_dataset
from training.datasets.interactions_table import PartReader, read_interactions
from training.datasets.items_table import read_items
from training.datasets.tables.column_kinds import ColumnKind
from training.datasets.tables.table_files import read_table
from training.datasets.tables.table_form import TableForm
from training.datasets.tables.table_source import TableFile

NUM_ITEMS, EVENTS_PER_USER, EVENTS_PER_FILE = 50_000, 20, 2_000_000
TOML = """name = "large"
[items]
file = "items.parquet"
texts = ["title"]
[interactions]
file = "events/"
timestamp = "at"
"""
MOST_BYTES_PER_EVENT = 64.0
"""Of reading: a number for user, item and time takes 16, twice where parts are joined."""


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Write the data set, and read it in every way."""
    num_events = 2_000_000 if quick else 20_000_000
    with TemporaryDirectory() as folder:
        write_events(Path(folder), num_events)
        items_alone = in_own_process(partial(peak_of, _items_alone, folder))

        def memory(read: Callable[[str], None]) -> float:
            return float(in_own_process(partial(peak_of, read, folder)) - items_alone)

        in_parts, whole = memory(_in_parts), memory(_whole)
        table = [
            Row("events read part by part", in_parts / MIB, "MiB", "lower"),
            Row("per event", in_parts / num_events, "bytes", "lower", None if quick else MOST_BYTES_PER_EVENT),
            Row("events read as one table", whole / MIB, "MiB", "lower"),
            Row("part by part / one table", in_parts / whole, "", "lower", 1.0),
            Row("data set opened for training", memory(_opened) / MIB, "MiB", "lower"),
            Row("clairo-train check", memory(_checked) / MIB, "MiB", "lower"),
        ]
    return f"{num_events:,} events of {num_events // EVENTS_PER_USER:,} users", table


def write_events(folder: Path, num_events: int) -> None:
    """Write items, a folder of events, and their description."""
    random = np.random.default_rng(0)
    item_ids = pa.array([f"item-{row:08}" for row in range(NUM_ITEMS)])
    pq.write_table(pa.table({"item_id": item_ids, "title": item_ids}), folder / "items.parquet")
    for number in range(num_events // EVENTS_PER_FILE):
        users = random.integers(num_events // EVENTS_PER_USER, size=EVENTS_PER_FILE)
        items = (random.zipf(1.2, size=EVENTS_PER_FILE) - 1) % NUM_ITEMS
        columns = {
            "user_id": pa.array(np.char.add("visitor-", np.char.zfill(users.astype("U8"), 12))),
            "item_id": item_ids.take(pa.array(items)),
            "at": 1_700_000_000 + random.integers(10**7, size=EVENTS_PER_FILE),
        }
        day = folder / f"events/day={number:03}"
        day.mkdir(parents=True)
        pq.write_table(pa.table(columns), day / "part-0.parquet", row_group_size=EVENTS_PER_FILE // 4)
    (folder / "dataset.toml").write_text(TOML, encoding="utf-8")


def peak_of(read: Callable[[str], None], folder: str) -> int:
    """Peak memory of this process after reading, in bytes."""
    read(folder)
    return peak_bytes()


def _items_alone(folder: str) -> None:
    read_items(describe_dataset(Path(folder)))


def _in_parts(folder: str) -> None:
    described = describe_dataset(Path(folder))
    read_interactions(described.interactions, described.rules, read_items(described).names.names)


def _whole(folder: str) -> None:
    described = describe_dataset(Path(folder))
    read_interactions(described.interactions, described.rules, read_items(described).names.names, read=_read_one_table)


def _read_one_table(
    path: TableFile,
    kinds: dict[str, ColumnKind],
    read_part: PartReader,
    progress: Progress = silent,
    form: TableForm | None = None,
) -> None:
    read_part(read_table(path, kinds, progress, form))


def _opened(folder: str) -> None:
    load_dataset(folder)


def _checked(folder: str) -> None:
    check_dataset(Path(folder))


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
