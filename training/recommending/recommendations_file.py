"""The file of recommendations, Parquet or CSV, one row per recommended item.

user_id (text), rank (from 1), item_id (text), score (number), source (text)
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from clairo_client.answers import RecommendAnswer
from clairo_core.errors import SettingsError
from clairo_core.recommendation import RecommendationList
from clairo_core.storage.replaced_file import replaced_file

SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("item_id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("source", pa.string()),
    ]
)
SUFFIXES = (".parquet", ".csv")


def table_of(user_ids: Sequence[str], lists: Sequence[RecommendationList | RecommendAnswer]) -> pa.Table:
    """Rows of some users, best item first."""
    rows = [
        (user_id, item.rank, item.item_id, item.score, item.source)
        for user_id, recommended in zip(user_ids, lists, strict=True)
        for item in recommended.items
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


def check_out(out: Path) -> None:
    """Check that a file of recommendations may stand at `out`.

    Raises:
        SettingsError: it has another ending, or the file there is not one of recommendations.
    """
    if out.suffix not in SUFFIXES:
        raise SettingsError(f"--out {out}: got ending {out.suffix!r}, expected {' or '.join(SUFFIXES)}")
    if out.exists() and not _has_recommendations(out):
        raise SettingsError(f"--out {out} exists and has no recommendations; name another file, or remove it")


def write_tables(out: Path, tables: Iterable[pa.Table]) -> int:
    """Write the tables one after another, aside and then renamed. Return the number of rows.

    Raises:
        OSError: the file cannot be written.
    """
    num_rows = 0
    with replaced_file(out) as aside, _writer(out, aside) as writer:
        for table in tables:
            writer.write_table(table)
            num_rows += table.num_rows
    return num_rows


def _writer(out: Path, aside: Path) -> AbstractContextManager[pq.ParquetWriter | pacsv.CSVWriter]:
    if out.suffix == ".csv":
        return pacsv.CSVWriter(aside, SCHEMA)  # type: ignore[no-any-return]
    return pq.ParquetWriter(aside, SCHEMA)  # type: ignore[no-any-return]


def _has_recommendations(path: Path) -> bool:
    try:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8") as lines:
                return lines.readline().replace('"', "").strip() == ",".join(SCHEMA.names)
        return bool(pq.read_schema(path).names == SCHEMA.names)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return False
