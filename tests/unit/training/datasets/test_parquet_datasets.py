"""Folders of Parquet files: one table, whatever the files, and errors that name the file."""

import itertools
import json
import random
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from clairo_core.errors import DatasetError
from clairo_core.events import InteractionRules
from training.cli import app
from training.datasets import load_dataset, user_numbers
from training.datasets.check import check_dataset
from training.datasets.description import InteractionsDescription
from training.datasets.init import write_description
from training.datasets.interactions_table import read_interactions
from training.datasets.tables import parquet_datasets
from training.datasets.tables.parquet_datasets import ParquetDataset
from training.datasets.tables.table_files import read_table
from training.datasets.user_sequences import Interactions

DESCRIPTION = """name = "shop"
[items]
file = "items.parquet"
item_id = "sku"
texts = ["title"]
[interactions]
file = "events/"
user_id = "user"
item_id = "sku"
timestamp = "at"
"""
TYPES = (
    '\ntype = "event"\nunknown_items = "drop"\n[events]\nbuy = 1.0\nview = 0.5\nreturn = "negative"\nlook = "ignored"\n'
)
ITEMS = [f"p-{row}" for row in range(6)]
ORDERS = {
    "seconds": lambda draw: draw.randrange(1_700_000_000, 1_700_000_100),
    "decimals": lambda draw: draw.random() * 10,
    "text of numbers": lambda draw: draw.choice(["1700000000", "1700000000.5", "1.7e9"]),
    "ISO": lambda draw: draw.choice(["2024-05-31", "2024-05-31T17:00:00Z", "Fri, 31 May 2024 17:02:11 +0200"]),
    "local": lambda draw: draw.choice(["03/04/2024", "25/04/2024", "2024-04-03 10:00"]),
}


@pytest.fixture(autouse=True, scope="module")
def _small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parquet_datasets, "BATCH_ROWS", 7)
        patched.setattr(user_numbers, "FEWEST_GATHERED", 3)
        yield


def write_items(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"sku": ITEMS, "title": [f"Cup {sku}" for sku in ITEMS]}), folder / "items.parquet")


def write_files(folder: Path, table: pa.Table, cuts: Sequence[int] = ()) -> None:
    """Write the rows between neighbouring cuts as one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [0, *sorted(cuts), len(table)]
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        pq.write_table(table.slice(start, end - start), folder / f"part-{number:03}.parquet", row_group_size=5)


def events(rows: int = 30, **changed: Sequence[object]) -> pa.Table:
    columns = {
        "user": [f"u-{row % 4}" for row in range(rows)],
        "sku": [ITEMS[row % 5] for row in range(rows)],
        "at": [1_700_000_000 + row for row in range(rows)],
    }
    return pa.table(columns | changed)


def write_shop(folder: Path, table: pa.Table | None = None, cuts: Sequence[int] = (10, 20), toml: str = "") -> Path:
    write_items(folder)
    write_files(folder / "events", events() if table is None else table, cuts)
    (folder / "dataset.toml").write_text(toml or DESCRIPTION, encoding="utf-8")
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(DatasetError) as error:
        load_dataset(folder)
    return str(error.value)


def drawn_events(seed: int, order: str) -> pa.Table:
    draw = random.Random(seed)
    rows = draw.randrange(1, 60)
    users = [draw.choice(["ann", "7", "bob ", "é"]) for _ in range(rows)]
    at = [ORDERS[order](draw) for _ in range(rows)]
    if order == "local":
        # One row that shows which number is the month.
        at[draw.randrange(rows)] = "25/04/2024"
    columns = {
        "user": pa.array(users).dictionary_encode() if seed % 2 else pa.array(users),
        "sku": pa.array([draw.choice([*ITEMS, "gone"]) for _ in range(rows)]),
        "at": pa.array(at),
        "event": pa.array([draw.choice(["buy", "view", "return", "look"]) for _ in range(rows)]),
        "stars": pa.array([draw.choice([None, 1.0, 5.0]) for _ in range(rows)]),
    }
    return pa.table(columns)


def same(one: Interactions, other: Interactions) -> bool:
    arrays = ("users", "items", "order", "types")
    counts = ("type_names", "num_unmatched", "ignored", "num_unknown", "time_units")
    return (
        one.user_ids.equals(other.user_ids)
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
        and all(getattr(one, name).dtype == getattr(other, name).dtype for name in arrays)
        and all(getattr(one, name) == getattr(other, name) for name in counts)
    )


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), order=st.sampled_from(sorted(ORDERS)), cuts=st.sets(st.integers(0, 60), max_size=6))
def test_any_partition_of_the_rows_is_read_as_the_whole_table(tmp_path_factory, seed, order, cuts):
    folder, table = tmp_path_factory.mktemp("parts"), drawn_events(seed, order)
    write_files(folder / "events", table, [min(cut, len(table)) for cut in cuts])
    write_files(folder / "one", table)
    # JSON Lines are read as a whole table.
    (folder / "lines.jsonl").write_text("\n".join(map(json.dumps, table.to_pylist())), encoding="utf-8")
    many, one, whole = (
        read_interactions(
            [InteractionsDescription(file=file, user_id="user", item_id="sku", order="at", is_time=True, type="event")],
            InteractionRules(unknown_items="drop"),
            ITEMS,
        )
        for file in (
            ParquetDataset(str(folder / "events")),
            folder / "one/part-000.parquet",
            folder / "lines.jsonl",
        )
    )
    assert same(many, whole)
    assert same(one, whole)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), cuts=st.sets(st.integers(0, 60), max_size=6))
def test_any_partition_of_typed_rows_gives_the_same_dataset(tmp_path_factory, seed, cuts):
    table = drawn_events(seed, "ISO")
    outcomes = []
    for name, some in (("one", ()), ("many", [min(cut, len(table)) for cut in cuts])):
        folder = write_shop(tmp_path_factory.mktemp(name), table, some, DESCRIPTION + TYPES)
        try:
            dataset = load_dataset(folder)
        except DatasetError as error:
            outcomes.append(str(error).replace(str(folder), ""))
            continue
        assert dataset.days is not None
        outcomes.append((dataset.fingerprint, dataset.user_ids, dataset.event_counts, dataset.days.tolist()))
    assert outcomes[0] == outcomes[1]


def test_folders_by_key_and_value_give_columns_of_text(tmp_path):
    toml = DESCRIPTION.replace('"at"', '"at"\nskip_without = ["event"]') + TYPES
    folder = write_shop(tmp_path, toml=toml)
    for file in (folder / "events").iterdir():
        file.unlink()
    for name in ("event=buy/day=01", "event=view/day=a%20b", "event=__HIVE_DEFAULT_PARTITION__"):
        write_files(folder / "events" / name, events(5))
    (folder / "events/_SUCCESS").touch()
    counts = load_dataset(folder).event_counts
    assert counts is not None
    assert counts.by_type == {"buy": 5, "view": 5}
    table = read_table(ParquetDataset(str(folder / "events/event=buy")), {"day": "id"}).table
    assert set(table["day"].to_pylist()) == {"01"}


def test_nested_fields_of_a_folder_give_the_rows_of_one_file(tmp_path):
    items = [[{"sku": sku} for sku in ITEMS[: row % 4]] for row in range(30)]
    toml = DESCRIPTION.replace('[interactions]\nfile = "events/"', "[interactions]\nFILE").replace(
        'item_id = "sku"\ntime', 'item_id = "items[].sku"\ntime'
    )
    table = events(items=items).drop_columns("sku")
    folder = write_shop(tmp_path, table, toml=toml.replace("FILE", 'file = "events/"'))
    pq.write_table(table, folder / "one.parquet")
    (folder / "one.toml").write_text(toml.replace("FILE", 'file = "one.parquet"'), encoding="utf-8")
    assert load_dataset(folder).fingerprint == load_dataset(folder / "one.toml").fingerprint


def test_items_may_be_a_folder(tmp_path):
    folder = write_shop(tmp_path, toml=DESCRIPTION.replace('"items.parquet"', '"items"'))
    expected = load_dataset(write_shop(tmp_path / "one")).fingerprint
    table = pq.read_table(folder / "items.parquet")
    write_files(folder / "items", table.set_column(1, "title", table["title"].cast(pa.large_string())).slice(0, 2), [1])
    pq.write_table(
        table.slice(2).set_column(1, "title", table["title"].slice(2).dictionary_encode()),
        folder / "items/part-9.parquet",
    )
    assert load_dataset(folder).fingerprint == expected


def test_a_missing_an_empty_and_a_mixed_folder_are_refused(tmp_path):
    folder = write_shop(tmp_path)
    events_folder = folder / "events"
    (events_folder / "notes.csv").write_text("a\n1\n")
    assert f"{events_folder}: got the file notes.csv, expected only files that end in .parquet" in refusal(folder)
    for file in events_folder.iterdir():
        file.unlink()
    (events_folder / "_SUCCESS").touch()
    assert f"{events_folder} has no file that ends in .parquet" in refusal(folder)
    (events_folder / "_SUCCESS").unlink()
    events_folder.rmdir()
    assert f"{events_folder} does not exist; correct the path" in refusal(folder)
    write_files(events_folder, events(0))
    assert f"{events_folder} has no rows" in refusal(folder)


@pytest.mark.parametrize(
    ("last", "problem"),
    [
        (events(3, at=["a", "b", "c"]), "part-009.parquet, field 'at': the column has text, but whole numbers in"),
        (events(3).drop_columns("user"), "part-009.parquet: there is no column 'user', which"),
        (events(3, user=pa.array([1.0, 2.0, 3.0])), "part-009.parquet, field 'user': the column has decimal numbers"),
    ],
)
def test_files_with_different_columns_are_named_with_the_column(tmp_path, last, problem):
    folder = write_shop(tmp_path)
    pq.write_table(last, folder / "events/part-009.parquet")
    assert problem in refusal(folder)
    assert "write all files with" in refusal(folder)


def test_a_column_that_the_first_file_alone_lacks_is_that_files_fault(tmp_path):
    folder = write_shop(tmp_path)
    pq.write_table(events(3).drop_columns("user"), folder / "events/part-000.parquet")
    assert "events/part-000.parquet: there is no column 'user', which" in refusal(folder)
    assert "part-001.parquet has; write all files with the same columns" in refusal(folder)


def test_a_column_without_a_value_in_one_file_goes_with_any_type(tmp_path):
    toml = DESCRIPTION.replace('"at"', '"at"\nskip_without = ["at"]')
    folder = write_shop(tmp_path, toml=toml)
    expected = load_dataset(folder).fingerprint
    pq.write_table(events(3, at=pa.nulls(3)), folder / "events/part-000a.parquet")
    assert load_dataset(folder).fingerprint == expected


def test_a_damaged_file_is_named(tmp_path):
    folder = write_shop(tmp_path)
    content = (folder / "events/part-001.parquet").read_bytes()
    (folder / "events/part-001.parquet").write_bytes(content[:-20])
    assert f"{folder}/events/part-001.parquet is not a Parquet file, or is damaged" in refusal(folder)


def test_an_error_names_the_file_and_its_row(tmp_path):
    skus = [ITEMS[0]] * 13 + ["coat"] + [ITEMS[1]] * 16
    folder = write_shop(tmp_path, events(sku=skus))
    assert f"{folder}/events/part-001.parquet row 4, field 'sku': item 'coat' is not in the items table" in refusal(
        folder
    )


def test_a_text_that_is_not_a_time_is_named_by_file_and_row(tmp_path):
    at = ["2024-01-01"] * 24 + ["soon"] + ["2024-01-01"] * 5
    folder = write_shop(tmp_path, events(at=at))
    assert f"{folder}/events/part-002.parquet row 5, field 'at': got 'soon'" in refusal(folder)
    (fault,) = check_dataset(folder).faults
    assert str(fault).startswith("events/part-002.parquet row 5, field 'at': got 'soon'")


def test_check_names_the_faults_of_all_files_in_one_run(tmp_path):
    skus = [f"coat {row}" if row % 9 == 4 else ITEMS[row % 5] for row in range(30)]
    users = [None if row in (2, 21) else f"u-{row % 4}" for row in range(30)]
    at = [-1 if row == 29 else 1_700_000_000 + row for row in range(30)]
    folder = write_shop(tmp_path, events(sku=skus, user=users, at=at))
    check = check_dataset(folder)
    assert sorted(str(fault).partition(":")[0] for fault in check.faults) == [
        "events/part-000.parquet row 3, field 'user'",
        "events/part-000.parquet row 5, field 'sku'",
        "events/part-002.parquet row 10, field 'at'",
    ]
    (unknown,) = (fault for fault in check.faults if fault.column == "sku")
    assert str(unknown).endswith(
        "(also events/part-001.parquet row 4, events/part-002.parquet row 3: 'coat 13', 'coat 22')"
    )
    assert [(one["file"], one["rows"]) for one in unknown.as_dicts()] == [
        ("events/part-000.parquet", [5]),
        ("events/part-001.parquet", [4]),
        ("events/part-002.parquet", [3]),
    ]
    assert check.facts is not None
    assert check.facts.histories.events == 30 - 3 - 2 - 1


def test_check_counts_the_same_in_a_folder_as_in_one_file(tmp_path):
    toml = DESCRIPTION.replace('"at"', '"at"\nskip_without = ["user"]') + TYPES
    kinds = [["buy", "view", "look"][row % 3] for row in range(30)]
    users = [None if row % 7 == 3 else f"u-{row % 4}" for row in range(30)]
    skus = ["gone" if row % 11 == 1 else ITEMS[row % 5] for row in range(30)]
    folder = write_shop(tmp_path, events(event=kinds, user=users, sku=skus), toml=toml)
    (folder / "one").mkdir()
    pq.write_table(pq.read_table(folder / "events"), folder / "one/part.parquet")
    (folder / "one.toml").write_text(toml.replace("events/", "one/part.parquet"), encoding="utf-8")
    of_folder, of_file = check_dataset(folder), check_dataset(folder / "one.toml")
    assert of_folder.facts == of_file.facts
    assert of_folder.facts is not None
    assert of_folder.facts.skipped == {"user": 4}
    assert json.loads(json.dumps(of_folder.as_dict()))["faults"] == []


def test_init_describes_a_folder_that_check_reads(tmp_path):
    folder = write_shop(tmp_path)
    (folder / "dataset.toml").unlink()
    write_files(folder / "events/day=2024-01-02", events(5))
    written = CliRunner().invoke(
        app, ["init", str(folder / "items.parquet"), f"{folder}/events/", "--out", str(folder / "dataset.toml")]
    )
    assert written.exit_code == 0, written.output
    assert 'file = "events/"' in (folder / "dataset.toml").read_text(encoding="utf-8")
    check = check_dataset(folder)
    assert list(check.faults) == []
    assert check.facts is not None
    assert check.facts.histories.events == 30
    (folder / "other.toml").unlink(missing_ok=True)
    assert write_description([folder / "items.parquet", folder / "events"], folder / "other.toml").to_fill_in == []


def peak_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Bytes of Arrow and of NumPy at the peak of reading the interactions."""
    monkeypatch.setattr(parquet_datasets, "BATCH_ROWS", 500)
    described = InteractionsDescription(
        file=ParquetDataset(str(folder)), user_id="user", item_id="sku", order="at", is_time=True
    )
    pool, usual = pa.proxy_memory_pool(pa.system_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        read_interactions([described], InteractionRules(), ITEMS)
        return pool.max_memory(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


def test_memory_grows_with_the_numbers_of_events_not_with_their_texts(tmp_path, monkeypatch):
    rows, long = 2_000, "x" * 200
    users = [f"{long}{row % 50}" for row in range(rows)]
    table = events(rows, user=users)
    for name, num_files in (("few", 2), ("many", 12)):
        for number in range(num_files):
            write_files(tmp_path / name / str(number), table)
    arrow_of_few, _ = peak_memory(tmp_path / "few", monkeypatch)
    arrow_of_many, numbers_of_many = peak_memory(tmp_path / "many", monkeypatch)
    texts = 12 * rows * len(long)
    assert arrow_of_many < 0.25 * texts
    assert arrow_of_many < arrow_of_few + 12 * rows * 16
    assert numbers_of_many < 12 * rows * 16 * 3
