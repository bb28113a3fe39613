"""`clairo-train check`: every fault in one run."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from clairo_core.errors import DatasetError
from tests.checked_shop import DESCRIPTION, EVENTS, faults_of, write_shop
from tests.drawn_tables import write_drawn_dataset
from tests.sqlite_shop import write_sqlite_shop
from training.cli import app
from training.datasets import load_dataset
from training.datasets.check import Check, check_dataset, picture_faults
from training.datasets.check.faults import Fault


def test_planted_faults_are_all_named_in_one_run_by_file_row_and_field(tmp_path):
    items = (
        ",Jug,1,",
        "p-3,Jug,1,",
        "a/../b,Jug,1,",
        "p-10,Ju\0g,1,",
        "p-11,Jug,1,gone.png",
        "p-12,Jug,1,text.png",
        "p-13,Jug,1",
        b"p-14,K\xfcche,1,",
        "p-15,Jug,-1,",
        'p-16,12" jug" tall,1,',
        'p-17,"12" jug,1,',
    )
    events = (
        "u-1,coat,1700000000,view",
        "u-1,p-1,yesterday,view",
        "u-1,p-1,1700000000,gift",
        "u-1,p-1,nan,view",
        "u-1,p-1,-1,view",
        ",p-1,1700000000,view",
    )
    folder = write_shop(tmp_path, items, events, DESCRIPTION.replace("texts", 'colour = "red"\ntexts'))
    (folder / "photos" / "text.png").write_text("no picture at all")
    places = {
        "dataset.toml, [items] colour: got an unknown key": "a typo in the TOML",
        "items.csv row 8, field 'sku': the id is missing": "missing id",
        "items.csv row 9, field 'sku': id 'p-3' is also in row 5": "duplicate id",
        "items.csv row 10, field 'sku': got 'a/../b', but item_id has": "an id that the service refuses",
        "items.csv row 11, field 'title': the text contains a NUL": "NUL",
        "items.csv row 12, field 'photo': photos/gone.png does not exist": "picture missing",
        "items.csv row 13, field 'photo': item 'p-12': got 17 bytes that": "not a picture",
        "items.csv row 14, field 'photo': has 3 fields, but the header line has 4": "a short line",
        "items.csv row 15, field 'title': the bytes are not UTF-8": "another encoding",
        "items.csv row 16, field 'price': got '-1', expected a price of at least 0": "impossible price",
        "items.csv row 18: is not CSV": "quotes inside a value",
        "events.csv row 14, field 'sku': item 'coat' is not in the items table": "unknown item",
        "events.csv row 15, field 'at': got 'yesterday', expected a number": "not a time",
        "events.csv row 16, field 'kind': type 'gift' is not declared": "undeclared type",
        "events.csv row 17, field 'at': the value is missing": "missing time",
        "events.csv row 18, field 'at': got '-1', expected a time since 1970": "a time before all times",
        "events.csv row 19, field 'user': the id is missing": "missing user",
    }
    faults = faults_of(folder)
    for place, kind in places.items():
        assert any(fault.startswith(place) for fault in faults), (kind, faults)
    assert len(faults) == len(places), faults
    assert all("; " in fault for fault in faults), "each says what to do next"


def test_equal_faults_of_a_column_are_one_line_with_the_first_rows(tmp_path):
    folder = write_shop(tmp_path, events=tuple(f"u-1,coat {row},1700000000,view" for row in range(40)))
    (fault,) = faults_of(folder)
    assert fault.startswith("events.csv row 14, field 'sku': item 'coat 0' is not in the items table")
    assert fault.endswith("(also rows 15, 16, 17 and 36 more)")


def test_a_row_with_two_faults_is_named_for_both(tmp_path):
    folder = write_shop(tmp_path, events=(",p-1,yesterday,view",))
    first, second = faults_of(folder)
    assert first.startswith("events.csv row 14, field 'user': the id is missing")
    assert second.startswith("events.csv row 14, field 'at': got 'yesterday'")


def test_an_item_with_a_fault_is_not_an_unknown_one(tmp_path):
    folder = write_shop(tmp_path, ("p-10,Ju\0g,1,",), ("u-1,p-10,1700000000,view",))
    (fault,) = faults_of(folder)
    assert fault.startswith("items.csv row 8, field 'title'")


def test_a_table_whose_rows_all_have_a_fault_is_not_called_empty(tmp_path):
    folder = write_shop(tmp_path)
    (folder / "events.csv").write_bytes("user,sku,at,kind\nJörg,p-0,1700000000,view\n".encode("cp1252"))
    (fault,) = faults_of(folder)
    assert "the bytes are not UTF-8" in fault


def test_each_undeclared_type_is_named(tmp_path):
    folder = write_shop(tmp_path, events=tuple(f"u-1,p-1,1700000000,{kind}" for kind in ("gift", "tip", "gift")))
    (fault,) = faults_of(folder)
    assert "type 'gift' is not declared" in fault
    assert fault.endswith("(also rows 15, 16: 'tip')")


def test_all_missing_columns_are_named_and_the_others_are_checked(tmp_path):
    toml = DESCRIPTION.replace('["title"]', '["name", "story"]').replace('user_id = "user"', 'user_id = "visitor"')
    faults = faults_of(write_shop(tmp_path, ("p-3,Jug,1,",), toml=toml))
    for place in (
        "items.csv, field 'name': there is no such column; the columns are 'sku', 'title', 'price', 'photo'",
        "items.csv, field 'story': there is no such column",
        "items.csv row 8, field 'sku': id 'p-3' is also in row 5",
        "events.csv, field 'visitor': there is no such column",
    ):
        assert any(fault.startswith(place) for fault in faults), faults
    assert len(faults) == 4


def test_all_faults_of_the_toml_are_named(tmp_path):
    toml = DESCRIPTION.replace("texts", 'text = "x"\npicturefolder = "y"\ntexts') + '\ncart = "often"\n'
    faults = faults_of(write_shop(tmp_path, toml=toml))
    assert len(faults) == 3
    for key in ("[items] text: ", "[items] picturefolder: ", "[events] cart: "):
        assert any(key in fault for fault in faults), faults


def test_a_damaged_picture_beyond_the_sample_is_found_on_request(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_faults, "SAMPLE", 1)
    folder = write_shop(tmp_path)
    picture = folder / "photos" / "p-4.png"
    picture.write_bytes(picture.read_bytes()[:50])
    assert faults_of(folder) == []
    (fault,) = faults_of(folder, decode_all=True)
    assert fault.startswith("items.csv row 6, field 'photo': item 'p-4': the PNG picture is damaged or cut short")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@settings(max_examples=15, deadline=None)
@given(faulty=st.sets(st.integers(0, 199), max_size=25))
def test_the_faulty_rows_of_a_column_are_exactly_those_planted(tmp_path_factory, suffix, faulty):
    folder = tmp_path_factory.mktemp("shop")
    times = ["soon" if row in faulty else f"2024-05-31 17:{row % 60:02}:00" for row in range(200)]
    table = pa.table({"user_id": ["ann"] * 200, "item_id": ["a"] * 200, "timestamp": times})
    rows = table.to_pylist()
    events = folder / f"events.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, events)
    elif suffix == "csv":
        events.write_text("\n".join(["user_id,item_id,timestamp", *(",".join(row.values()) for row in rows)]))
    else:
        events.write_text("\n".join(map(json.dumps, rows)))
    (folder / "items.csv").write_text("item_id,title\na,Cup\n")
    (folder / "dataset.toml").write_text(
        f'[items]\nfile = "items.csv"\ntexts = ["title"]\n[interactions]\nfile = "{events.name}"\n'
        'timestamp = "timestamp"'
    )
    first = 2 if suffix == "csv" else 1
    found = {row - first for fault in check_dataset(folder).faults for row in fault.rows.tolist()}
    assert found == faulty


@pytest.mark.parametrize("first", range(1000, 1060, 30))
def test_a_check_refuses_what_training_refuses_and_nothing_else(tmp_path, first):
    for seed in range(first, first + 30):
        folder = tmp_path / str(seed)
        write_drawn_dataset(folder, seed)
        try:
            load_dataset(folder)
            is_refused = False
        except DatasetError:
            is_refused = True
        # Drawn times go back before 1970, which only a check refuses.
        faults = [fault for fault in faults_of(folder) if "since 1970" not in fault]
        assert bool(faults) == is_refused, (seed, faults)


def test_a_published_folder_is_checked_without_a_toml(tmp_path):
    pq.write_table(pa.table({"item_id": ["a", "b"], "title": ["Cup", "Jug"]}), tmp_path / "items.parquet")
    pq.write_table(
        pa.table({"user_id": ["ann"] * 3, "item_id": ["a", "b", "a"], "position": [0, 1, 2], "split": ["train"] * 3}),
        tmp_path / "interactions.parquet",
    )
    check = check_dataset(tmp_path)
    assert list(check.faults) == []
    assert check.facts is not None
    assert (check.facts.items.total, check.facts.histories.users) == (2, 1)


def test_a_database_is_checked_by_its_queries(tmp_path, monkeypatch):
    monkeypatch.setenv("CLAIRO_DATA_URL", write_sqlite_shop(tmp_path))
    check = check_dataset(tmp_path)
    assert list(check.faults) == []
    assert check.facts is not None
    assert set(check.facts.events_by_type) == {"purchase", "view"}


def test_a_fault_of_a_variant_names_its_own_row(tmp_path):
    (tmp_path / "items.csv").write_text("handle,title,sku,price\na,Cup,a-1,1\na,,a-2,1\nb,Ju\0g,b-1,1\nb,,a-1,1\n")
    (tmp_path / "events.csv").write_text("user,sku,at\nann,a-2,1700000000\nann,b-1,1700000000\nann,c,1700000001\n")
    (tmp_path / "dataset.toml").write_text(
        '[items]\nfile = "items.csv"\nitem_id = "handle"\ngroup_variants = "handle"\nitem_key = "sku"\n'
        'texts = ["title"]\nattributes = ["price"]\n'
        '[interactions]\nfile = "events.csv"\nuser_id = "user"\nitem_id = "sku"\ntimestamp = "at"'
    )
    title, key, unknown = faults_of(tmp_path)
    assert title.startswith("items.csv row 4, field 'title': the text contains a NUL")
    assert key.startswith("items.csv row 5, field 'sku': 'a-1' is a key of item")
    assert unknown.startswith("events.csv row 4, field 'sku': item 'c' is not in the items table")


def test_pictures_that_were_not_fetched_are_one_fault_with_the_command(tmp_path):
    items = tuple(f"p-{row},Jug,1,https://shop.example.com/{row}.jpg" for row in range(10, 16))
    (fault,) = faults_of(write_shop(tmp_path, items))
    assert fault.startswith(
        "items.csv row 8, field 'photo': https://shop.example.com/10.jpg is not fetched; run clairo-"
    )
    assert fault.endswith("(also rows 9, 10, 11 and 2 more)")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", *arguments])
    return result.exit_code, result.output


def test_the_command_exits_with_2_for_faults_and_0_without(tmp_path):
    folder = write_shop(tmp_path, events=("u-1,coat,1700000000,view",))
    code, output = run(str(folder), "--json", str(tmp_path / "check.json"))
    assert code == 2
    assert "1 fault, 1 row:\n  events.csv row 14, field 'sku': item 'coat'" in output
    written = json.loads((tmp_path / "check.json").read_text())
    assert written["faults"][0] | {"problem": ""} == {
        "file": "events.csv",
        "field": "sku",
        "problem": "",
        "rows": [14],
        "is_complete": True,
    }
    assert written["facts"]["items"]["total"] == 6
    (folder / "events.csv").write_text("\n".join(EVENTS))
    code, output = run(str(folder))
    assert code == 0
    assert "fault" not in output.split("no faults")[0]


def test_a_page_with_many_faults_fits_a_screen(tmp_path):
    names = [f"column {place}" for place in range(60)]
    toml = DESCRIPTION.replace('["title"]', json.dumps(names))
    check = check_dataset(write_shop(tmp_path, toml=toml))
    assert isinstance(check, Check)
    assert "and 35 more kinds of faults; --json FILE lists all" in str(check)
    assert len(str(check).splitlines()) < 50


def faults_of_events(folder: Path, users: list[str], times: list[str]) -> list[Fault]:
    table = pa.table({"user_id": users, "item_id": ["a"] * len(users), "timestamp": times})
    pq.write_table(table, folder / "events.parquet")
    (folder / "items.csv").write_text("item_id,title\na,Cup\n")
    (folder / "dataset.toml").write_text(
        '[items]\nfile = "items.csv"\ntexts = ["title"]\n[interactions]\nfile = "events.parquet"\n'
        'timestamp = "timestamp"'
    )
    return list(check_dataset(folder).faults)


def test_all_texts_that_are_no_times_are_found_at_once(tmp_path):
    for times in (["2024-05-31 17:00:00", "31st of May"], ["1700000000", "31st of May"]):
        (fault,) = faults_of_events(tmp_path, ["ann"] * 20_000, times * 10_000)
        assert fault.rows.tolist() == list(range(2, 20_001, 2))
        assert fault.is_complete


def test_many_faults_of_one_row_each_end_a_search_with_what_was_found(tmp_path):
    users = [f"{'x' * 300}{row}" if row % 2 else "ann" for row in range(6_000)]
    (fault,) = faults_of_events(tmp_path, users, ["2024-05-31 17:00:00"] * len(users))
    assert len(fault.rows) >= 1000
    assert str(fault).endswith("; or more)")
