"""Bad files: each is refused by name, row and field."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clairo_core.errors import DatasetError, EmptyTableError, MissingColumnError, RowError
from training.datasets import load_dataset

ITEMS = "item_id,title,picture\na,Red shoe,\nb,Blue hat,\n"
INTERACTIONS = "user_id,item_id,timestamp\nann,a,1\nann,b,2\nbob,a,3\n"


def write_shop(
    folder: Path, items: bytes | str = ITEMS, interactions: bytes | str = INTERACTIONS, suffix: str = "csv"
) -> tuple[Path, Path]:
    items_path, interactions_path = folder / "items.csv", folder / f"interactions.{suffix}"
    for path, content in ((items_path, items), (interactions_path, interactions)):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "dataset.toml").write_text(
        '[items]\nfile = "items.csv"\ntexts = ["title"]\npicture = "picture"\n'
        f'[interactions]\nfile = "{interactions_path.name}"\ntimestamp = "timestamp"'
    )
    return items_path, interactions_path


def refusal(folder: Path, error: type[DatasetError] = RowError) -> str:
    with pytest.raises(error) as caught:
        load_dataset(folder)
    return str(caught.value)


def line(**record: object) -> str:
    return json.dumps({"user_id": "ann", "item_id": "a", "timestamp": 1} | record)


@pytest.mark.parametrize(
    ("interactions", "complaint"),
    [
        (INTERACTIONS + "eve,b,yesterday\n", "row 5, field 'timestamp': got 'yesterday', expected a number, or a date"),
        (INTERACTIONS + "eve,b,2024-05-31\n", "row 5, field 'timestamp': got '2024-05-31'"),
        (INTERACTIONS + "eve,b,\n", "row 5, field 'timestamp': the value is missing"),
        (INTERACTIONS + "eve,b,  \n", "row 5, field 'timestamp': the value is missing"),
        (INTERACTIONS + "eve,b,NaN\n", "row 5, field 'timestamp': the value is missing"),
        (INTERACTIONS + ",b,4\n", "row 5, field 'user_id': the id is missing"),
        (INTERACTIONS + "eve,,4\n", "row 5, field 'item_id': the id is missing"),
        (INTERACTIONS + "eve,c,4\n", "row 5, field 'item_id': item 'c' is not in the items table"),
        (INTERACTIONS + "\n\neve,c,4\n", "row 7, field 'item_id': item 'c' is not in the items table"),
        (INTERACTIONS + '"e\nve",b,4\neve,c,5\n', "row 7, field 'item_id': item 'c'"),
        (INTERACTIONS + "eve,b,4,5\n", "row 5 has 4 fields, but the header line has 3: 'user_id', 'item_id', 'timest"),
        (INTERACTIONS + "eve,b\nann,b,4\n", "row 5 has 2 fields"),
        (INTERACTIONS + "eve,b\0,4\n", "row 5, field 'item_id': the text contains a NUL character"),
        ((INTERACTIONS + "eve,é,4\n").encode("latin-1"), "row 5, field 'item_id': the bytes are not UTF-8"),
        (INTERACTIONS.encode("utf-16"), "row 1, field 'column 1': the bytes are not UTF-8"),
        (INTERACTIONS.replace("user_id", "usér").encode("latin-1"), "row 1, field 'column 1': the bytes are not UTF-8"),
        (INTERACTIONS + 'eve,"b,4\nann,b,5\n', "row 5 is not CSV"),
        (INTERACTIONS + 'eve,b,"4\n', "row 5 is not CSV"),
        (INTERACTIONS + 'eve,b,"4\nann,b,5', "row 5 is not CSV"),
    ],
)
def test_a_bad_line_of_csv_is_refused_by_number(tmp_path, interactions, complaint):
    _, path = write_shop(tmp_path, interactions=interactions)
    message = refusal(tmp_path)
    assert complaint in message
    assert message.startswith(str(path))


@pytest.mark.parametrize(
    ("interactions", "complaint"),
    [
        (f"{line()}\n{line()[:-5]}\n{line()}", "row 2 is not JSON"),
        (f"{line()}\n\n[1, 2]", "row 3 is a JSON array, expected an object"),
        (f"{line()}\nnull", "row 2, field 'user_id': the id is missing"),
        (f"{line()}\n{line(timestamp='yesterday')}", "row 2, field 'timestamp': got 'yesterday', but earlier rows"),
        (f"{line(timestamp='yesterday')}\n{line(timestamp='2')}", "row 1, field 'timestamp': got 'yesterday'"),
        (f"{line()}\n{line(timestamp=None)}", "row 2, field 'timestamp': the value is missing"),
        (
            f"{line()}\n{line(timestamp=[1])}",
            "row 2, field 'timestamp': got a JSON array, expected a number, or a date",
        ),
        (f"{line()}\n{line(timestamp=2**70)}", "row 2, field 'timestamp': got 1180591620717411303424, expected"),
        (f"{line()}\n{line(timestamp=float('nan'))}", "row 2, field 'timestamp': the value is missing"),
        (f"{line()}\n{line(timestamp=float('inf'))}", "row 2 is not JSON (Infinity is not a JSON value; write null)"),
        (f"{line(timestamp=0.5)}\n{line(timestamp=float('inf'))}", "row 2 is not JSON (Infinity"),
        (f"{line()}\n{line(user_id=None)}", "row 2, field 'user_id': the id is missing"),
        (f"{line()}\n{line(user_id='')}", "row 2, field 'user_id': the id is empty"),
        (f"{line()}\n{line(user_id=1.5)}", "row 2, field 'user_id': got 1.5, expected text or a whole number"),
        (f"{line(user_id=1.5)}\n{line(user_id=2.5)}", "row 1, field 'user_id': the column is double, expected text or"),
        (f"{line()}\n{line(user_id=True)}", "row 2, field 'user_id': got True, expected text or a whole number"),
        (f"{line()}\n{line(user_id=chr(0))}", "row 2, field 'user_id': the text contains a NUL"),
        (f"{line()}\n{line(user_id=chr(0xD800))}", "row 2, field 'user_id': got '\\ud800', expected text without lone"),
        (f"{line()}\n{line(item_id='c')}", "row 2, field 'item_id': item 'c' is not in the items table"),
        (f"{line()}\n\n".encode() + b'{"user_id": "\xff"}', "row 3: the bytes are not UTF-8"),
        (f"{line()}\n" + "[" * 100_000, "row 2 is not JSON"),
        (f"{line()}\n" + '{"timestamp": ' + "9" * 5000 + "}", "row 2 is not JSON"),
    ],
)
def test_a_bad_line_of_json_is_refused_by_number(tmp_path, interactions, complaint):
    _, path = write_shop(tmp_path, interactions=interactions, suffix="jsonl")
    message = refusal(tmp_path)
    assert complaint in message
    assert message.startswith(str(path))


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"user_id": ["u", None]}, "row 2, field 'user_id': the id is missing"),
        ({"user_id": [1.0, 2.0]}, "row 1, field 'user_id': the column is double"),
        ({"user_id": [True, False]}, "row 1, field 'user_id': the column is bool"),
        ({"user_id": [None, None]}, "row 1, field 'user_id': the id is missing"),
        ({"user_id": ["u", "v\0"]}, "row 2, field 'user_id': the text contains a NUL"),
        ({"timestamp": [1.0, float("inf")]}, "row 2, field 'timestamp': the value is not finite"),
        ({"timestamp": [1, None]}, "row 2, field 'timestamp': the value is missing"),
        ({"timestamp": [True, False]}, "row 1, field 'timestamp': the column is bool"),
        ({"timestamp": pa.array([1, 2**64 - 1], pa.uint64())}, "row 2, field 'timestamp': got 18446744073709551615"),
        ({"timestamp": pa.array([1, 2], pa.duration("s"))}, "row 1, field 'timestamp': the column is duration"),
    ],
)
def test_a_bad_row_of_parquet_is_refused_by_number(tmp_path, columns, complaint):
    _, path = write_shop(tmp_path, suffix="parquet")
    pq.write_table(pa.table({"user_id": ["u", "v"], "item_id": ["a", "b"], "timestamp": [1, 2]} | columns), path)
    message = refusal(tmp_path)
    assert complaint in message
    assert message.startswith(str(path))


def test_dictionary_encoded_ids_are_read(tmp_path):
    _, path = write_shop(tmp_path, suffix="parquet")
    users = pa.array(["u", "v", "u"]).dictionary_encode()
    pq.write_table(pa.table({"user_id": users, "item_id": ["a", "b", "b"], "timestamp": [1, 2, 3]}), path)
    assert load_dataset(tmp_path).user_ids == ("u", "v")


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        (ITEMS + "a,Red shoe again,\n", "row 4, field 'item_id': id 'a' is also in row 2"),
        (ITEMS + "c,Cup,cup.png\n", "row 4, field 'picture': "),
        (ITEMS + f"c,Cup,{'QUJD' * 2000}\n", "row 4, field 'picture': "),
        (ITEMS + "c,Cu\0p,\n", "row 4, field 'title': the text contains a NUL"),
        (ITEMS + ",Cup,\n", "row 4, field 'item_id': the id is missing"),
    ],
)
def test_a_bad_item_is_refused_by_row(tmp_path, items, complaint):
    path, _ = write_shop(tmp_path, items=items)
    message = refusal(tmp_path)
    assert complaint in message
    assert message.startswith(str(path))
    assert len(message) < 600


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_empty_file_is_refused_by_name(tmp_path, suffix):
    _, path = write_shop(tmp_path, interactions=b"", suffix=suffix)
    assert refusal(tmp_path, EmptyTableError).startswith(f"{path} is empty")


def empty_parquet() -> bytes:
    file = io.BytesIO()
    columns = {"user_id": pa.string(), "item_id": pa.string(), "timestamp": pa.int64()}
    pq.write_table(pa.schema(columns).empty_table(), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("suffix", "content"),
    [("csv", b"user_id,item_id,timestamp\n"), ("jsonl", b"\n \n"), ("parquet", empty_parquet())],
)
def test_a_table_without_rows_is_refused_by_name(tmp_path, suffix, content):
    _, path = write_shop(tmp_path, interactions=content, suffix=suffix)
    assert refusal(tmp_path, EmptyTableError).startswith(f"{path} has no rows")


def one_row_of_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"user": ["u"], "item_id": ["a"], "timestamp": [1]}), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("csv", b"user,item_id,timestamp\nu,a,1\n"),
        ("jsonl", b'{"user": "u", "item_id": "a", "timestamp": 1}\n'),
        ("parquet", one_row_of_parquet()),
    ],
)
def test_a_missing_column_is_refused_with_a_list_of_the_columns(tmp_path, suffix, content):
    _, path = write_shop(tmp_path, interactions=content, suffix=suffix)
    message = refusal(tmp_path, MissingColumnError)
    assert message.startswith(f"{path}: there is no column 'user_id'; the columns are 'user', 'item_id', 'timestamp'")


def test_a_duplicate_column_is_refused(tmp_path):
    write_shop(tmp_path, interactions="user_id,item_id,timestamp,user_id\nu,a,1,v\n")
    assert "2 columns are named 'user_id'" in refusal(tmp_path, DatasetError)


@pytest.mark.parametrize("share", [0.2, 0.9, 0.99])
def test_a_truncated_parquet_file_is_refused_by_name(tmp_path, share):
    _, path = write_shop(tmp_path, suffix="parquet")
    whole = one_row_of_parquet()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert refusal(tmp_path, DatasetError).startswith(f"{path} is not a Parquet file, or is damaged or cut short")


def test_a_missing_file_or_another_format_is_refused_by_name(tmp_path):
    items, _ = write_shop(tmp_path)
    items.unlink()
    assert refusal(tmp_path, DatasetError).startswith(f"{items} does not exist")
    toml = tmp_path / "dataset.toml"
    text = toml.read_text()
    for suffix, cure in {
        ".xlsx": "save it as CSV UTF-8",
        ".txt": "save it as CSV",
        ".csv.zip": "unpack it",
        ".parquet.gz": "got a packed Parquet file, expected a plain one",
        ".feather": "convert it",
    }.items():
        toml.write_text(text.replace("items.csv", f"items{suffix}"))
        complaint = refusal(tmp_path, DatasetError)
        assert "expected a " in complaint
        assert cure in complaint


def test_a_separator_inside_a_comma_separated_header_is_a_name(tmp_path: Path) -> None:
    write_shop(tmp_path, items="item_id,title,picture,sizes;colours\na,Red shoe,,1\nb,Blue hat,,2\n")
    assert len(load_dataset(tmp_path).items) == 2


def test_a_very_long_text_is_read_completely(tmp_path):
    story = "word " * 200_000
    write_shop(tmp_path, items=f'item_id,title,picture\na,{story},\nb,"{story}\n""end""",\n')
    dataset = load_dataset(tmp_path)
    assert dataset.items[0].title == story
    assert dataset.items[1].title == f'{story}\n"end"'
