"""A dataset's TOML: valid forms and errors."""

from pathlib import Path

import pytest

from clairo_core.errors import DatasetError
from clairo_core.events import EventType, InteractionRules
from training.datasets.dataset_toml import read_description
from training.datasets.tables.table_form import TableForm

WHOLE = """
name = "shoes"
[items]
file = "tables/items.csv"
item_id = "sku"
texts = ["title", "story"]
attributes = ["brand"]
picture = "photo"
picture_folder = "photos"
unreadable_pictures = "drop"
only_with_picture = true
[items.vectors]
audio = "jingle"
[codes]
file = "codes.parquet"
item_id = "row"
items_column = "number"
columns = ["a", "b"]
sizes = [256, 16]
unique = true
[interactions]
file = "/logs/clicks.jsonl"
user_id = "visitor"
item_id = "sku"
timestamp = "at"
min_interactions = 5
unknown_items = "drop"
repeats = "drop"
"""

SMALLEST = """
[items]
file = "items.csv"
texts = ["title"]
[interactions]
file = "interactions.csv"
position = "position"
"""


def description_of(tmp_path: Path, toml: str):
    path = tmp_path / "dataset.toml"
    path.write_text(toml, encoding="utf-8")
    return read_description(path)


def test_a_description_names_every_table_and_column(tmp_path):
    description = description_of(tmp_path, WHOLE)
    assert description.name == "shoes"
    assert description.items.file == tmp_path / "tables/items.csv"
    assert description.items.picture_folder == tmp_path / "photos"
    assert description.items.vectors == {"audio": "jingle"}
    assert description.items.only_with_picture
    assert description.codes is not None
    assert description.codes.columns == ("a", "b")
    assert description.codes.sizes == (256, 16)
    assert description.codes.unique
    assert [table.file for table in description.interactions] == [Path("/logs/clicks.jsonl")]
    assert description.interactions[0].order == "at"
    assert description.rules == InteractionRules(min_interactions=5, unknown_items="drop", repeats="drop")


def test_a_description_needs_only_files_texts_and_an_order(tmp_path):
    description = description_of(tmp_path, SMALLEST)
    assert description.name == tmp_path.name
    assert description.items.item_id == "item_id"
    assert description.interactions[0].user_id == "user_id"
    assert description.rules == InteractionRules()
    assert description.codes is None


def test_events_are_numbers_words_or_tables(tmp_path):
    rules = description_of(
        tmp_path,
        SMALLEST
        + """
        type = "event"
        targets = ["purchase"]
        [events]
        purchase = 1
        cart = 0.5
        return = "negative"
        seen = "impression"
        "Newsletter opened" = "ignored"
        wish = {weight = 0.1, history = false}
        """,
    ).rules
    assert rules.targets == ("purchase",)
    assert rules.types == {
        "purchase": EventType(),
        "cart": EventType(weight=0.5),
        "return": EventType(meaning="negative"),
        "seen": EventType(meaning="impression"),
        "Newsletter opened": EventType(meaning="ignored"),
        "wish": EventType(weight=0.1, is_read=False),
    }


def test_conditions_name_a_type_without_a_column_of_types(tmp_path):
    rules = description_of(
        tmp_path,
        SMALLEST
        + """
        [events]
        like = {when = "stars >= 4"}
        dislike = {when = "stars < 3", counts = "negative"}
        """,
    ).rules
    assert [rules.type_of(None, stars) for stars in (5, 3, 1)] == ["like", None, "dislike"]
    assert rules.value_column == "stars"


def test_several_tables_of_interactions_share_their_rules(tmp_path):
    description = description_of(
        tmp_path,
        """
        [items]
        file = "items.csv"
        texts = ["title"]
        [[interactions]]
        file = "orders.csv"
        user_id = "buyer"
        timestamp = "at"
        event = "purchase"
        repeats = "drop"
        [[interactions]]
        file = "clicks.jsonl"
        timestamp = "when"
        type = "action"
        [events]
        purchase = 1.0
        click = 0.2
        """,
    )
    assert [(table.file.name, table.user_id, table.event, table.type) for table in description.interactions] == [
        ("orders.csv", "buyer", "purchase", None),
        ("clicks.jsonl", "user_id", None, "action"),
    ]
    assert description.rules.repeats == "drop"


def test_code_columns_may_be_in_the_items_table(tmp_path):
    toml = SMALLEST.replace('texts = ["title"]', 'codes = ["a", "b"]')
    description = description_of(tmp_path, toml)
    assert description.codes is not None
    assert description.codes.file == description.items.file
    assert description.codes.columns == ("a", "b")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("[items]\n", "[items\n"), "is not TOML"),
        (('texts = ["title"]', 'text = ["title"]'), r"\[items\] text: got an unknown key; did you mean 'texts'"),
        (('texts = ["title"]', 'texts = "title"'), r"\[items\] texts: got 'title', expected a list of names"),
        (('texts = ["title"]', "texts = [1]"), r"\[items\] texts: got \[1\], expected a list of names"),
        (('texts = ["title"]', 'texts = ["a", "a"]'), "expected each name once"),
        (('texts = ["title"]', ""), "set at least one, to tell items apart"),
        (('file = "items.csv"\n', ""), r"\[items\] file: got nothing, expected text"),
        (('file = "items.csv"', 'file = ""'), r"\[items\] file: got empty text"),
        (('position = "position"', ""), "neither of timestamp and position"),
        (('position = "position"', 'position = "p"\ntimestamp = "t"'), "both of timestamp and position"),
        (('position = "position"', 'position = "p"\nmin_interactions = -1'), "got -1, expected at least 0"),
        (('position = "position"', 'position = "p"\nmin_interactions = true'), "got True, expected a whole number"),
        (('position = "position"', 'position = "p"\nrepeats = "once"'), "got 'once', expected one of 'keep', 'drop'"),
        (('position = "position"', 'position = "p"\ntype = "t"\nevent = "e"'), "both of type and event"),
        (('position = "position"', 'position = "p"\n[events]\nbuy = 1'), "neither type nor event"),
        (('position = "position"', 'position = "p"\nevent = "sell"\n[events]\nbuy = 1'), "'sell', expected one of"),
        (
            ('position = "position"', 'position = "p"\ntype = "t"\n[events]\nbuy = -1'),
            "events: type 'buy': got weight -1",
        ),
        (
            ('position = "position"', 'position = "p"\ntype = "t"\n[events]\nbuy = {when = "x > y"}'),
            r"\[events\] buy: got 'x > y', expected a comparison",
        ),
        (
            ('position = "position"', 'position = "p"\ntype = "t"\n[events]\nbuy = "good"'),
            "got 'good', expected one of",
        ),
        (
            ('position = "position"', 'position = "p"\ntype = "t"\n[events]\nbuy = {wheight = 1}'),
            r"\[events.buy\] wheight: got an unknown key; did you mean 'weight'",
        ),
        (
            ('position = "position"', 'position = "p"\n[events]\nbuy = {when = "stars = 4"}'),
            r"\[events\] buy: got .*expected a comparison",
        ),
        (
            ('position = "position"', 'position = "p"\ntype = "t"\ntargets = ["sell"]\n[events]\nbuy = 1'),
            "target 'sell' is not a positive type",
        ),
        (("[items]\n", '[items]\nseparator = ";;"\n'), r"\[items\] separator: got ';;', expected one character"),
        (("[items]\n", '[items]\nencoding = "windows"\n'), r"encoding: got 'windows', expected an encoding, such as"),
        (("[items]\n", "[items]\nitem_key = 3\n"), r"item_key: got 3, expected a list of names"),
        (("[items]\n", "[items]\noptions = {a = 3}\n"), r"options.a: got 3, expected the name of a column"),
        (("[items]\n", '[items]\ntimestamp_format = "%Y"\n'), "timestamp_format: got an unknown key"),
        (("[items]\n", "[item]\n"), r"\[?items\]?: got nothing, expected a table"),
        (("[items]\n", "[extra]\n[items]\n"), "extra: got an unknown key"),
        (("[items]\n", "[items]\nonly_with_picture = true\n"), "without a picture column"),
        (("[items]\n", "[items]\nvectors = {audio = 3}\n"), "vectors.audio: got 3, expected the name of a column"),
        (
            ("[items]\n", '[codes]\nfile = "c.csv"\nsizes = [0]\n[items]\n'),
            "expected a list of whole numbers of at least 1",
        ),
        (("[items]\n", '[codes]\nfile = "c.csv"\n[items]\ncodes = ["a"]\n'), r"in \[items\] and in \[codes\]"),
        (
            ("[items]\n", '[pictures]\nfile = "p.parquet"\npicture = "jpeg"\n[items]\npicture = "a"\n'),
            r"in \[items\] and in \[pictures\]",
        ),
    ],
)
def test_a_wrong_description_is_refused_by_file_and_key(tmp_path, change, complaint):
    with pytest.raises(DatasetError, match=complaint) as caught:
        description_of(tmp_path, SMALLEST.replace(*change))
    assert str(tmp_path / "dataset.toml") in str(caught.value)


def test_a_description_says_how_files_are_written_and_rows_become_items(tmp_path):
    description = description_of(
        tmp_path,
        """
        [items]
        file = "items.csv"
        texts = ["title"]
        separator = ";"
        encoding = "Windows-1252"
        item_key = "SKU"
        group_variants = "Parent"
        options = {"Option1 Name" = "Option1 Value"}
        skip_without = ["SKU"]
        [interactions]
        file = "orders.csv"
        timestamp = "at"
        timestamp_format = "%d/%m/%Y"
        type = "kind"
        order_id = "order"
        """,
    )
    items, interactions = description.items, description.interactions[0]
    assert items.form == TableForm(separator=";", encoding="cp1252", skip_without=("SKU",))
    assert (items.item_key, items.group_variants) == (("SKU",), "Parent")
    assert items.options == {"Option1 Name": "Option1 Value"}
    assert interactions.form == TableForm(
        timestamp_format="%d/%m/%Y", order_id="order", fill_down=("user_id", "at", "kind")
    )


def test_a_missing_or_undecodable_description_is_refused_by_name(tmp_path):
    path = tmp_path / "dataset.toml"
    with pytest.raises(DatasetError, match="cannot be read"):
        read_description(path)
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(DatasetError, match="not UTF-8"):
        read_description(path)
