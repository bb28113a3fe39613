"""Draw a dataset folder from a seed: any column types, encodings, gaps and sizes, few users, and at times damage.

Start at `write_drawn_dataset`.
"""

import datetime
import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.packed import write_packed

FORMATS = ("parquet", "csv", "jsonl", "tsv", "json", "csv.gz", "csv.zst", "jsonl.gz", "json.zst")
WORDS = (
    "red",
    "Tasse",
    "",
    " ",
    "nan",
    "NaN",
    "null",
    "été",
    "杯",
    "😀",
    '12" x',
    "a,b",
    "a\nb",
    "\u202e",
    "0",
    "7.0",
    "x" * 3000,
)
PRICES = ("12.50", "$1,299.00", "1.234,56 €", "CHF 30", "on request", "", "nan", "-1", "1e400")
UTC_TIMES = ("2024-05-31", "2024-05-31T17:00:00.1234567Z", "2024-05-31 17:00:00.123456789+02:00", "2024-05-31T17")
ODD_TIMES = ("now", "2024-02-30", "", "nan", "inf", "1e400", "0x10", "99999999999999999999")
ODD_IDS = ("", " a", "a\nb", "..", "a/similar", "x" * 300, "a\0", "bulk")
DAY = datetime.date(2024, 5, 31)

Values = list[Any]
Draw = Callable[[random.Random, int], pa.Array]


def with_gaps(draw: random.Random, values: Values) -> Values:
    """Make some values missing, in one draw of three."""
    share = draw.choice([0, 0, 0.3])
    return [None if draw.random() < share else value for value in values]


def column(arrow_type: pa.DataType, value: Callable[[random.Random], Any]) -> Draw:
    """Draw a column of one type."""

    def drawn(draw: random.Random, length: int) -> pa.Array:
        return pa.array(with_gaps(draw, [value(draw) for _ in range(length)]), arrow_type)

    return drawn


def moment(draw: random.Random) -> datetime.datetime:
    return datetime.datetime(draw.choice([1969, 2024, 9998]), 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(
        microseconds=draw.randrange(10**12)
    )


def number(draw: random.Random) -> float:
    return draw.choice([draw.gauss(0, 100), float(draw.randrange(9)), float("nan"), float("inf"), 1e-7, 1e22, -0.0])


ANY_TYPE: tuple[Draw, ...] = (
    column(pa.string(), lambda draw: draw.choice(WORDS)),
    column(pa.large_string(), lambda draw: draw.choice(PRICES)),
    column(pa.string_view(), lambda draw: draw.choice(WORDS)),
    column(pa.dictionary(pa.int8(), pa.string()), lambda draw: draw.choice(WORDS)),
    column(pa.float64(), number),
    column(pa.float32(), number),
    column(pa.float16(), lambda draw: draw.choice([0.5, 3.0, float("nan")])),
    column(pa.int8(), lambda draw: draw.randrange(-128, 128)),
    column(pa.int64(), lambda draw: draw.choice([7, -(2**63), 2**63 - 1])),
    column(pa.uint64(), lambda draw: draw.choice([7, 2**64 - 1])),
    column(pa.bool_(), lambda draw: draw.random() < 0.5),
    column(pa.decimal128(10, 2), lambda draw: Decimal("12.50")),
    column(pa.date32(), lambda draw: DAY),
    column(pa.date64(), lambda draw: DAY),
    column(pa.time64("us"), lambda draw: datetime.time(1, 2, 3)),
    column(pa.timestamp("us"), lambda draw: moment(draw).replace(tzinfo=None)),
    column(pa.timestamp("ms", "Europe/Berlin"), moment),
    column(pa.duration("s"), lambda draw: datetime.timedelta(seconds=3)),
    column(pa.binary(), lambda draw: draw.choice([b"", b"\xff", b"ab"])),
    column(pa.list_(pa.string()), lambda draw: draw.choices(WORDS, k=draw.randrange(3))),
    column(pa.list_(pa.float64()), lambda draw: [number(draw) for _ in range(draw.randrange(3))]),
    column(pa.list_(pa.float32(), 2), lambda draw: [1.0, draw.random()]),
    column(pa.list_(pa.list_(pa.int8())), lambda draw: [[1], []]),
    column(pa.struct([("a", pa.int8())]), lambda draw: {"a": 1}),
    column(pa.map_(pa.string(), pa.int8()), lambda draw: [("a", 1)]),
    column(pa.null(), lambda draw: None),
)

TIMES: tuple[Draw, ...] = (
    column(pa.int64(), lambda draw: draw.randrange(10**10)),
    column(pa.float64(), lambda draw: draw.random() * 1e9),
    column(pa.string(), lambda draw: draw.choice(UTC_TIMES)),
    column(pa.string(), lambda draw: str(draw.randrange(10**10))),
    column(
        pa.timestamp("ns"), lambda draw: datetime.datetime(2024, 1, 1) + datetime.timedelta(seconds=draw.randrange(99))
    ),
    column(pa.timestamp("ms", "Europe/Berlin"), moment),
    column(pa.date32(), lambda draw: DAY + datetime.timedelta(days=draw.randrange(99))),
    column(pa.date64(), lambda draw: DAY + datetime.timedelta(days=draw.randrange(99))),
)
ODD_TIME_COLUMNS: tuple[Draw, ...] = (
    column(pa.string(), lambda draw: draw.choice(UTC_TIMES + ODD_TIMES)),
    column(pa.timestamp("ms"), lambda draw: draw.choice([0, 2**62])),
    column(pa.uint64(), lambda draw: draw.choice([7, 2**64 - 1])),
    column(pa.int32(), lambda draw: 0),
    *ANY_TYPE,
)


def write_drawn_dataset(folder: Path, seed: int, *, is_plain: bool = False) -> None:
    """Write dataset.toml and its two tables.

    Args:
        folder: new.
        seed: of everything.
        is_plain: only what training must take: no damage, no odd ids, times without gaps, at least 12 items, and
            users of whom half have five events or more.
    """
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    items, attributes, vectors = _items(draw, is_plain=is_plain)
    ids = [value for value in items["item_id"].to_pylist() if value is not None] or ["a"]
    interactions = _interactions(draw, ids, is_plain=is_plain)
    names = {}
    for name, table in (("items", items), ("interactions", interactions)):
        suffix = draw.choice(FORMATS if _fits_text(table) else FORMATS[:1])
        path = folder / f"{name}.{suffix}"
        WRITERS[suffix.partition(".")[0]](path, table, draw, is_plain)
        if not is_plain and draw.random() < 0.06:
            _damage(path, draw)
        names[name] = path.name
    options = (
        "" if is_plain else draw.choice(["", "", "min_interactions = 2", 'repeats = "drop"', 'unknown_items = "drop"'])
    )
    (folder / "dataset.toml").write_text(
        f"""
        name = "drawn"
        [items]
        file = "{names["items"]}"
        texts = ["title"]
        attributes = {json.dumps(attributes)}
        {f'vectors = {{ audio = "{vectors}" }}' if vectors else ""}
        [interactions]
        file = "{names["interactions"]}"
        timestamp = "at"
        {options}
        """,
        encoding="utf-8",
    )


def _items(draw: random.Random, *, is_plain: bool) -> tuple[pa.Table, list[str], str]:
    count = draw.randrange(12, 30) if is_plain else draw.choice([1, 2, 5, 30])
    item_ids: Values = [f"item {row}" for row in range(count)]
    if draw.random() < 0.3:
        item_ids = list(range(count))
    elif not is_plain and draw.random() < 0.2:
        item_ids[draw.randrange(count)] = draw.choice([*ODD_IDS, None, item_ids[0]])
    titles = [f"{draw.choice(WORDS[:2])} {draw.choice(['cup', 'lamp', 'shoe'])}" for _ in range(count)]
    columns = {"item_id": pa.array(item_ids), "title": pa.array(with_gaps(draw, titles), pa.string())}
    attributes = []
    kinds = ANY_TYPE[:16] if is_plain or draw.random() < 0.7 else ANY_TYPE
    for place in range(draw.randrange(4)):
        columns[f"attribute {place}"] = draw.choice(kinds)(draw, count)
        attributes.append(f"attribute {place}")
    vectors = ""
    if not is_plain and draw.random() < 0.2:
        vectors = "sound"
        columns[vectors] = draw.choice([ANY_TYPE[-5], ANY_TYPE[-5], ANY_TYPE[-6], ANY_TYPE[-1], draw.choice(ANY_TYPE)])(
            draw, count
        )
    return pa.table(columns), attributes, vectors


def _interactions(draw: random.Random, item_ids: Values, *, is_plain: bool) -> pa.Table:
    users, rows = draw.randrange(6, 20) if is_plain else draw.choice([1, 1, 2, 4, 20]), []
    for user in range(users):
        for _ in range(draw.randrange(5, 9) if is_plain and user % 2 else draw.randrange(1, 7)):
            rows.append((f"user {user}", draw.choice(item_ids)))
    if not is_plain and draw.random() < 0.2:
        rows[draw.randrange(len(rows))] = (draw.choice([*ODD_IDS, None]), draw.choice([*item_ids, "unknown"]))
    user_ids, items = ([row[place] for row in rows] for place in (0, 1))
    if {type(item_id) for item_id in items} != {type(items[0])}:
        items = [None if item_id is None else str(item_id) for item_id in items]
    is_odd = not is_plain and draw.random() < 0.2
    times = draw.choice(ODD_TIME_COLUMNS if is_odd else TIMES)(draw, len(rows))
    while times.null_count and not is_odd:
        times = draw.choice(TIMES)(draw, len(rows))
    return pa.table({"user_id": pa.array(user_ids), "item_id": pa.array(items), "at": times})


def _write_parquet(path: Path, table: pa.Table, draw: random.Random, is_plain: bool) -> None:
    plain = table
    for place, name in enumerate(table.column_names):
        if pa.types.is_float16(table[name].type) and draw.random() < 0.5:
            plain = plain.set_column(place, name, table[name].cast(pa.float32()))
    pq.write_table(plain, path, row_group_size=draw.choice([2, 1000]))


def _fits_text(table: pa.Table) -> bool:
    try:
        table.to_pylist()
    except OverflowError:
        # A time beyond the year 9999.
        return False
    return "sound" not in table.column_names


def _rows(table: pa.Table) -> list[Values]:
    columns = [table[name].to_pylist() for name in table.column_names]
    return [list(row) for row in zip(*columns, strict=True)]


def _write_csv(path: Path, table: pa.Table, draw: random.Random, is_plain: bool) -> None:
    end = draw.choice(["\n", "\r\n"])

    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        is_quoted = any(letter in text for letter in ',;|\t"\r\n') or draw.random() < 0.1
        if not is_plain and draw.random() < 0.005:
            return text
        return '"' + text.replace('"', '""') + '"' if is_quoted else text

    separator = "\t" if path.suffix == ".tsv" else draw.choice(",,;|")
    lines = [separator.join(map(cell, row)) for row in [table.column_names, *_rows(table)]]
    text = end.join(lines) + draw.choice(["", end])
    encodings = ["utf-8", "utf-8-sig"] if is_plain else ["utf-8"] * 30 + ["utf-8-sig", "latin-1", "utf-16"]
    write_packed(path, text.encode(draw.choice(encodings), errors="replace"))


def _write_jsonl(path: Path, table: pa.Table, draw: random.Random, is_plain: bool) -> None:
    escapes = draw.random() < 0.5
    lines = []
    for row in _rows(table):
        record = {
            name: value
            for name, value in zip(table.column_names, row, strict=True)
            if (value is not None or draw.random() < 0.5) and not (is_plain and value == float("inf"))
        }
        lines.append(json.dumps(record, ensure_ascii=escapes, default=str))
    encodings = ["utf-8"] if is_plain else ["utf-8"] * 30 + ["utf-8-sig", "utf-16"]
    text = f"[{', '.join(lines)}]" if ".json." in f"{path.name}." and draw.random() < 0.5 else "\n".join(lines)
    write_packed(path, text.encode(draw.choice(encodings)))


WRITERS: dict[str, Callable[[Path, pa.Table, random.Random, bool], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "tsv": _write_csv,
    "json": _write_jsonl,
}


def _damage(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    match draw.randrange(4):
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(content[: draw.randrange(len(content))])
        case 2:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            path.write_bytes(content)
        case 3:
            path.write_bytes(b"")
