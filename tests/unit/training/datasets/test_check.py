"""`clairo-train check`: every fault in one run, and facts as counted by hand."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from clairo_core.errors import DatasetError
from clairo_core.sequences import ItemSequences
from tests.drawn_tables import write_drawn_dataset
from tests.sqlite_shop import write_sqlite_shop
from training.cli import app
from training.datasets import load_dataset
from training.datasets.check import Check, check_dataset, picture_faults
from training.datasets.check.facts import history_facts

ITEMS = ["sku,title,price,photo", *(f"p-{row},Cup {row},{row + 1}.50,p-{row}.png" for row in range(6))]
EVENTS = [
    "user,sku,at,kind",
    *(
        f"u-{user},p-{(user + place) % 6},{1_700_000_000 + 100 * user + place},{'purchase' if place == 2 else 'view'}"
        for user in range(4)
        for place in range(3)
    ),
]
DESCRIPTION = """
[items]
file = "items.csv"
item_id = "sku"
texts = ["title"]
attributes = ["price"]
picture = "photo"
picture_folder = "photos"

[interactions]
file = "events.csv"
user_id = "user"
item_id = "sku"
timestamp = "at"
type = "kind"

[events]
purchase = 1.0
view = 0.2
"""


def write_shop(
    folder: Path, items: tuple[str | bytes, ...] = (), events: tuple[str | bytes, ...] = (), toml: str = DESCRIPTION
) -> Path:
    """Six cups with pictures and twelve events without a fault, in lines 2 to 7 and 2 to 13; then the lines given."""
    (folder / "photos").mkdir()
    for row in range(6):
        Image.new("RGB", (8, 8), (40 * row, 90, 30)).save(folder / "photos" / f"p-{row}.png")
    for name, sound, further in (("items.csv", ITEMS, items), ("events.csv", EVENTS, events)):
        lines = [line.encode() if isinstance(line, str) else line for line in (*sound, *further)]
        (folder / name).write_bytes(b"\n".join(lines) + b"\n")
    (folder / "dataset.toml").write_text(toml)
    return folder


def faults_of(folder: Path, *, decode_all: bool = False) -> list[str]:
    return [str(fault) for fault in check_dataset(folder, decode_all=decode_all).faults]


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


def test_facts_are_those_counted_by_hand(tmp_path):
    toml = DESCRIPTION[: DESCRIPTION.index('type = "kind"')]
    events = ("u-9,p-0,1700000000,view", "u-9,p-0,1700000060,view", "u-0,p-9,1700090000,view")
    check = check_dataset(write_shop(tmp_path, ("p-8,Cup 1,1,", "p-9,,1,"), events, toml))
    facts = check.facts
    assert facts is not None
    assert list(check.faults) == []
    assert (facts.items.total, facts.items.without_words, facts.items.without_picture) == (8, 1, 2)
    assert (facts.items.without_content, facts.items.alike, facts.items.never_chosen) == (1, 0, 1)
    histories = facts.histories
    assert (histories.users, histories.events, histories.shortest, histories.longest) == (5, 15, 2, 4)
    assert histories.lengths["2"] == 1
    assert histories.lengths["3-4"] == 4
    assert histories.short_share == 1 / 5
    assert histories.repeat_share == histories.seen_share == 1 / 10
    assert (histories.first_day, histories.last_day) == ("2023-11-14", "2023-11-15")


@pytest.mark.parametrize("time", ["0", "1700000000500", "-5"])
def test_a_time_in_another_unit_or_none_is_a_fault(tmp_path, time):
    (fault,) = faults_of(write_shop(tmp_path, events=(f"u-1,p-0,{time},view",)))
    assert fault.startswith(
        f"events.csv row 14, field 'at': got '{time}', expected a time since 1970 (May 1970 to 2286"
    )


def test_timestamps_that_date_nothing_are_advised(tmp_path):
    folder = write_shop(tmp_path)
    (folder / "events.csv").write_text("user,sku,at,kind\nu,p-0,20240105,view\nu,p-1,20240106,view\n")
    assert any("do not date them" in line for line in check_dataset(folder).advice)
    dated = DESCRIPTION.replace('timestamp = "at"', 'timestamp = "at"\ntimestamp_format = "%Y%m%d"')
    (folder / "dataset.toml").write_text(dated)
    check = check_dataset(folder)
    assert check.facts is not None
    assert check.facts.histories.first_day == "2024-01-05"
    assert not any("do not date them" in line for line in check.advice)


def test_users_written_in_two_ways_are_advised(tmp_path):
    check = check_dataset(write_shop(tmp_path, events=("U-1,p-0,1700000000,view", '"u-2 ",p-0,1700000000,view')))
    assert "  2 user ids like another but for spaces, case or a trailing .0" in str(check)
    assert "shares no user" not in str(check)


def test_files_whose_users_never_meet_are_advised(tmp_path):
    toml = DESCRIPTION.replace("[interactions]", "[[interactions]]").split("[events]")
    orders = '[[interactions]]\nfile = "orders.csv"\nuser_id = "user"\nitem_id = "sku"\n'
    folder = write_shop(tmp_path, toml=f'{toml[0]}{orders}timestamp = "at"\nevent = "purchase"\n[events]{toml[1]}')
    for user, is_stranger in (("u-1", False), ("customer-1", True)):
        (folder / "orders.csv").write_text(f"user,sku,at\n{user},p-0,1700009000\n")
        assert ("shares no user" in str(check_dataset(folder))) == is_stranger


def test_rows_left_out_are_counted_by_the_reason(tmp_path):
    toml = DESCRIPTION.replace('type = "kind"', 'type = "kind"\nskip_without = ["user", "sku"]\ntargets = ["purchase"]')
    events = (",p-0,1700000000,view", "u-1,,1700000000,view", "u-1,,1700000001,view", "u-0,p-2,1700000500,view")
    check = check_dataset(write_shop(tmp_path, events=events, toml=toml))
    assert check.facts is not None
    assert check.facts.skipped == {"user": 1, "sku": 2}
    assert check.facts.steps == 1
    assert "left out   1 row without 'user', 2 rows without 'sku', 1 event as steps to a target" in str(check)
    assert "2 rows of interactions without 'sku' are left out; if they are events" in str(check)


def test_a_file_read_twice_is_counted_in_each_form(tmp_path):
    tables = [
        '[[interactions]]\nfile = "events.csv"\nuser_id = "user"\nitem_id = "sku"\n'
        f'timestamp = "{time}"\nevent = "{event}"\nskip_without = ["{time}"]\n'
        for time, event in (("at", "purchase"), ("returned", "return"))
    ]
    of_items = DESCRIPTION[: DESCRIPTION.index("[interactions]")]
    events = '[events]\npurchase = 1.0\nreturn = "negative"\n'
    folder = write_shop(tmp_path, toml="".join([of_items, *tables, events]))
    rows = ("u,p-0,1700000000,", "u,p-1,1700000001,1700000009", "u,p-2,1700000002,")
    (folder / "events.csv").write_text("\n".join(("user,sku,at,returned", *rows)) + "\n")
    check = check_dataset(folder)
    assert check.facts is not None
    assert (check.facts.unknown_items, check.facts.skipped) == (0, {"returned": 2})
    assert check.facts.events_by_type == {"purchase": 3, "return": 1}
    assert check.facts.histories.events == 2


def test_rows_that_no_condition_fits_are_counted(tmp_path):
    toml = (
        DESCRIPTION.replace('type = "kind"', "").split("[events]")[0] + '[events]\nlate = {when = "at >= 1700000100"}\n'
    )
    check = check_dataset(write_shop(tmp_path, toml=toml))
    assert check.facts is not None
    assert check.facts.unmatched == 3
    assert "left out   3 rows that no condition fits" in str(check)


def test_repeats_of_the_item_before_and_of_any_earlier_one_are_told_apart():
    facts = history_facts(ItemSequences.from_lists([[1, 1, 2, 1], [], [2, 2]]), None, today=0.0)
    assert facts.repeat_share == 2 / 4
    assert facts.seen_share == 3 / 4
    assert facts.lengths == {"1": 0, "2": 1, "3-4": 1, "5-9": 0, "10-19": 0, "20-49": 0, "50-99": 0, "100+": 0}


def advice_on(folder: Path) -> list[str]:
    check = check_dataset(folder)
    assert list(check.faults) == []
    return check.advice


def test_repeated_views_are_advised_to_drop(tmp_path):
    repeats = tuple(f"u-1,p-1,{1_700_001_000 + place},view" for place in range(8))
    advice = advice_on(write_shop(tmp_path, events=repeats))
    assert '44% of next events repeat the item: set repeats = "drop" or targets = ["purchase"]' in advice


@pytest.mark.parametrize(
    ("events", "advised"),
    [
        # A target must be positive: the refund is not.
        ('"purchase refund" = "negative"\nsold = 1.0\nview = 0.2', "sold"),
        ('"purchase refund" = "negative"\nkauf = 1.0\nview = 1.0', "kauf"),
        ('"purchase refund" = "negative"\nview = 1.0', None),
    ],
)
def test_the_strongest_positive_type_is_advised_as_target(tmp_path, events, advised):
    sold = events.splitlines()[1].partition(" ")[0]
    lines = [f"u-1,p-1,{1_700_001_000 + place},view" for place in range(8)]
    lines += [f"u-2,p-1,1700001000,{sold}", "u-2,p-2,1700001000,purchase refund"]
    toml = DESCRIPTION.replace("purchase = 1.0\nview = 0.2", events).replace("events.csv", "few.csv")
    folder = write_shop(tmp_path, toml=toml)
    (folder / "few.csv").write_text("\n".join(["user,sku,at,kind", *lines]) + "\n")
    (advice,) = (line for line in advice_on(folder) if "repeat the item" in line)
    assert advice.endswith('set repeats = "drop"' + (f' or targets = ["{advised}"]' if advised else ""))


def test_a_table_that_cannot_be_measured_is_reported(tmp_path):
    toml = DESCRIPTION.replace("events.csv", "few.csv")
    folder = write_shop(tmp_path, toml=toml)
    (folder / "few.csv").write_text("user,sku,at,kind\nu-1,p-1,1700000000,view\nu-1,p-2,1700000001,view\n")
    assert "no user has three events: nothing can be measured; add older events" in advice_on(folder)


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


def test_many_faults_of_one_row_each_end_a_search_with_what_was_found(tmp_path):
    count = 20_000
    times = np.array(["2024-05-31 17:00:00", "31st of May"])[np.arange(count) % 2]
    table = pa.table({"user_id": ["ann"] * count, "item_id": ["a"] * count, "timestamp": times})
    pq.write_table(table, tmp_path / "events.parquet")
    (tmp_path / "items.csv").write_text("item_id,title\na,Cup\n")
    (tmp_path / "dataset.toml").write_text(
        '[items]\nfile = "items.csv"\ntexts = ["title"]\n[interactions]\nfile = "events.parquet"\n'
        'timestamp = "timestamp"'
    )
    (fault,) = check_dataset(tmp_path).faults
    assert len(fault.rows) >= 1000
    assert str(fault).endswith("; or more)")
