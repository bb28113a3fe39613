"""`clairo-train init`: what a shop's files are taken for, and that what is written can be read."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from clairo_core.errors import DatasetError, SettingsError
from clairo_core.events import EventType
from tests.repository import REPOSITORY
from training.cli import app
from training.datasets.check import check_dataset
from training.datasets.dataset_toml import read_description
from training.datasets.init import write_description
from training.datasets.init.column_words import weights_of
from training.datasets.init.settings import Section

SHOPS = REPOSITORY / "tests" / "data" / "shops"


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("shop", ["shopify", "woocommerce", "ga4_merchant", "german_csv"])
def test_the_files_of_a_known_layout_need_no_editing(tmp_path, shop):
    files = [Path(shutil.copy(file, tmp_path)) for file in sorted((SHOPS / shop).iterdir()) if file.suffix != ".toml"]
    written = write_description(files, tmp_path / "dataset.toml")
    assert written.to_fill_in == []
    check = check_dataset(tmp_path)
    assert list(check.faults) == []
    by_hand = check_dataset(SHOPS / shop)
    assert check.facts is not None
    assert by_hand.facts is not None
    assert check.facts.histories == by_hand.facts.histories
    assert check.facts.events_by_type == by_hand.facts.events_by_type
    guessed, described = read_description(tmp_path / "dataset.toml"), read_description(SHOPS / shop / "dataset.toml")
    assert guessed.items.item_id == described.items.item_id
    assert guessed.items.texts == described.items.texts
    assert set(guessed.items.attributes) >= set(described.items.attributes)
    assert guessed.items.options == described.items.options
    assert guessed.rules.targets == described.rules.targets
    assert guessed.rules.types.items() <= described.rules.types.items()


def test_columns_are_recognized_by_name_and_the_rest_is_listed(tmp_path):
    items = write_csv(
        tmp_path / "goods.csv",
        "product_id,name,description,brand,price,image,weight_g",
        "a,Cup,Holds tea and coffee,Fjord,4.50,a.jpg,300",
        "b,Jug,Holds water,Fjord,9.50,b.jpg,700",
    )
    events = write_csv(
        tmp_path / "log.csv",
        "customer_id,product_id,created_at,event,channel",
        "ann,a,2024-05-31 17:00:00,add_to_cart,app",
        "ann,b,2024-05-31 17:01:00,purchase,app",
        "bob,a,2024-05-31 17:02:00,view,web",
        "bob,c,2024-05-31 17:03:00,refund,web",
    )
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").touch()
    out = tmp_path / "dataset.toml"
    write_description([events, items], out)
    description = read_description(out)
    assert description.items.item_id == "product_id"
    assert description.items.texts == ("name", "description")
    assert description.items.attributes == ("brand", "price")
    assert (description.items.picture, description.items.picture_folder) == ("image", tmp_path / "pictures")
    (table,) = description.interactions
    assert (table.user_id, table.item_id, table.order, table.is_time, table.type) == (
        "customer_id",
        "product_id",
        "created_at",
        True,
        "event",
    )
    assert description.rules.types == {
        "purchase": EventType(weight=1.0),
        "add_to_cart": EventType(weight=0.5),
        "view": EventType(weight=0.2),
        "refund": EventType(meaning="negative"),
    }
    assert description.rules.targets == ("purchase",)
    assert description.rules.unknown_items == "drop"
    text = out.read_text()
    assert '# not used: "weight_g"' in text
    assert '# not used: "channel"' in text
    assert "# 33% of the first items are not in goods.csv" in text


def test_the_column_that_interactions_name_becomes_the_id(tmp_path):
    items = write_csv(tmp_path / "items.csv", "id,sku,title", "1,a-1,Cup", "2,b-2,Jug")
    events = write_csv(tmp_path / "orders.csv", "email,sku,date", "ann,a-1,2024-05-31", "bob,b-2,2024-05-31")
    write_description([items, events], tmp_path / "dataset.toml")
    assert read_description(tmp_path / "dataset.toml").items.item_id == "sku"


def test_each_file_of_one_kind_of_event_gets_its_type(tmp_path):
    items = write_csv(tmp_path / "items.csv", "sku,title", "a,Cup", "b,Jug")
    lines = ("user,sku,timestamp", "ann,a,1700000000", "ann,b,1700000001")
    views, orders = write_csv(tmp_path / "views.csv", *lines), write_csv(tmp_path / "orders.csv", *lines)
    write_description([items, views, orders], tmp_path / "dataset.toml")
    description = read_description(tmp_path / "dataset.toml")
    assert [table.event for table in description.interactions] == ["view", "purchase"]
    assert {name: one.weight for name, one in description.rules.types.items()} == {"purchase": 1.0, "view": 0.2}
    assert description.rules.targets == ("purchase",)


def test_an_id_of_the_shops_own_name_and_the_time_of_an_event_are_found(tmp_path):
    items = write_csv(tmp_path / "books.csv", "book_id,title", "1,Emma", "2,Ulysses")
    events = write_csv(tmp_path / "lent.csv", "user,book_id,qty,lent_at", "7,1,1,1700000000", "8,2,1,1700000001")
    assert write_description([items, events], tmp_path / "dataset.toml").to_fill_in == []
    description = read_description(tmp_path / "dataset.toml")
    assert description.items.item_id == "book_id"
    assert (description.interactions[0].item_id, description.interactions[0].order) == ("book_id", "lent_at")


def test_refunded_orders_are_noted_and_ga4_items_without_an_id_are_skipped(tmp_path):
    texts = {}
    for shop in ("shopify", "ga4_merchant"):
        files = [file for file in sorted((SHOPS / shop).iterdir()) if file.suffix != ".toml"]
        texts[shop] = write_description(files, tmp_path / f"{shop}.toml").path.read_text()
    assert 'type = "Financial Status"' in texts["shopify"]
    assert 'skip_without = ["user_pseudo_id", "items[].item_id"]' in texts["ga4_merchant"]


def test_names_are_recognized_however_their_words_are_joined(tmp_path):
    items = write_csv(tmp_path / "artikel.csv", "Artikel-Nr.;Bezeichnung;Preis", "a;Tasse;4,50 €", "b;Krug;9,50 €")
    orders = write_csv(tmp_path / "log.csv", "E-Mail;ArtikelNr;Zeit", "ann@x.de;a;31.5.2024", "bob@x.de;b;1.6.2024")
    assert write_description([items, orders], tmp_path / "dataset.toml").to_fill_in == []
    description = read_description(tmp_path / "dataset.toml")
    (table,) = description.interactions
    assert (description.items.item_id, table.user_id, table.item_id, table.order) == (
        "Artikel-Nr.",
        "E-Mail",
        "ArtikelNr",
        "Zeit",
    )


def test_further_rows_of_an_order_are_not_left_out(tmp_path):
    items = write_csv(tmp_path / "items.csv", "sku,title", "a,Cup", "b,Jug", "c,Hat")
    orders = write_csv(
        tmp_path / "orders.csv",
        "Order Number,email,sku,date,status",
        "1,ann,a,2024-05-31,sold",
        "1,,b,,",
        "2,bob,c,2024-06-01,sold",
    )
    out = write_description([items, orders], tmp_path / "dataset.toml").path
    assert 'order_id = "Order Number"' in out.read_text()
    assert "skip_without" not in out.read_text()
    check = check_dataset(tmp_path)
    assert list(check.faults) == []
    assert check.facts is not None
    assert check.facts.histories.events == 3
    out.unlink()
    with orders.open("a", encoding="utf-8") as file:
        file.write("3,,c,2024-06-02,sold\n")
    write_description([items, orders], out)
    assert 'skip_without = ["email"]' in out.read_text()


def test_users_under_a_name_that_is_not_known_are_left_to_fill_in(tmp_path):
    items = write_csv(tmp_path / "items.csv", "sku,title", "a,Cup")
    orders = write_csv(tmp_path / "orders.csv", "who,sku,date", "ann,a,2024-05-31")
    written = write_description([orders, items], tmp_path / "dataset.toml")
    assert written.recognized == ["items.csv: items", "orders.csv: interactions"]
    assert written.to_fill_in == ["[interactions] user_id"]


def test_a_column_that_is_not_found_is_left_to_fill_in(tmp_path):
    items = write_csv(tmp_path / "items.csv", "sku,title", "a,Cup")
    events = write_csv(tmp_path / "events.csv", "who,sku,user", "ann,a,1")
    written = write_description([items, events], tmp_path / "dataset.toml")
    assert written.to_fill_in == ["[interactions] timestamp"]
    assert 'timestamp = "?"                              # no column is named as a time' in written.path.read_text()


def test_the_encoding_is_found_out(tmp_path):
    items, events = tmp_path / "items.csv", tmp_path / "events.csv"
    items.write_bytes("sku;title\na;Küche".encode("cp1252"))
    events.write_bytes("user;sku;at\nJörg;a;1700000000".encode("utf-16"))
    write_description([items, events], tmp_path / "dataset.toml")
    description = read_description(tmp_path / "dataset.toml")
    assert (description.items.form.encoding, description.interactions[0].form.encoding) == ("cp1252", "utf-16")


def test_days_and_months_that_cannot_be_told_apart_are_noted(tmp_path):
    items = write_csv(tmp_path / "items.csv", "sku,title", "a,Cup")
    events = write_csv(tmp_path / "events.csv", "user,sku,date", "ann,a,03/04/2024", "ann,a,05/06/2024")
    text = write_description([items, events], tmp_path / "dataset.toml").path.read_text()
    assert "# date: got '03/04/2024', where day and month have two readings in every row" in text
    assert '# timestamp_format = "%d/%m/%Y' in text


def test_ratings_are_proposed_as_conditions(tmp_path):
    items = write_csv(tmp_path / "movies.csv", "movieId,title,genres", "1,Up,Comedy|Drama")
    events = write_csv(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp", "1,1,4.0,1700000000")
    text = write_description([items, events], tmp_path / "dataset.toml").path.read_text()
    assert 'item_id = "movieId"' in text
    assert 'liked = {when = "rating >= 4"}' in text


def test_an_existing_file_is_not_overwritten(tmp_path):
    items = write_csv(tmp_path / "items.csv", "sku,title", "a,Cup")
    out = write_csv(tmp_path / "dataset.toml", "name = 'mine'")
    with pytest.raises(SettingsError, match=r"dataset\.toml exists; name another file, or move it away"):
        write_description([items, items], out)
    assert out.read_text() == "name = 'mine'\n"


def test_two_files_of_items_or_one_file_are_refused(tmp_path):
    items = write_csv(tmp_path / "items.csv", "sku,title", "a,Cup")
    more = write_csv(tmp_path / "more.csv", "sku,title", "b,Jug")
    with pytest.raises(SettingsError, match=r"items\.csv and more\.csv have no column that is named as a user"):
        write_description([items, more], tmp_path / "dataset.toml")
    with pytest.raises(SettingsError, match="got 1 file, expected one of items and one or more of interactions"):
        write_description([items], tmp_path / "dataset.toml")
    with pytest.raises(DatasetError, match=r"gone\.csv does not exist"):
        write_description([items, tmp_path / "gone.csv"], tmp_path / "dataset.toml")


COLUMN_NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='",;|'), min_size=1, max_size=12
).filter(lambda name: name == name.strip() and name != "\ufeff")


@settings(max_examples=60, deadline=None)
@given(items=st.lists(COLUMN_NAMES, min_size=1, max_size=6, unique=True), further=st.lists(COLUMN_NAMES, max_size=4))
def test_whatever_columns_are_called_the_description_is_read(tmp_path_factory, items, further):
    folder = tmp_path_factory.mktemp("shop")
    names = ["sku", *(name for name in items if name != "sku")]
    first = write_csv(folder / "items.csv", ",".join(names), ",".join("a" for _ in names))
    others = [name for name in dict.fromkeys(further) if name not in ("user", "sku", "event")]
    second = write_csv(
        folder / "events.csv", ",".join(["user", "sku", "event", *others]), ",".join(["a", "a", 'pur"chase', *others])
    )
    write_description([first, second], folder / "dataset.toml")
    description = read_description(folder / "dataset.toml")
    assert description.items.item_id in names


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


@given(key=TEXTS, value=TEXTS)
def test_any_text_is_written_so_that_toml_reads_it_back(key, value):
    section = Section("[items]")
    section.set(key, (value, key), "a reason")
    assert tomllib.loads(str(section)) == {"items": {key: [value, key]}}


def test_types_are_weighed_by_their_names():
    assert weights_of(["view_item", "scroll", "add_to_cart", "purchase", "refund", "view_item_list"]) == {
        "purchase": 1.0,
        "add_to_cart": 0.5,
        "view_item": 0.2,
        "refund": "negative",
        "scroll": "ignored",
        "view_item_list": "impression",
    }


def test_the_command_says_what_it_took_each_file_for(tmp_path):
    items = write_csv(tmp_path / "items.csv", "sku,title", "a,Cup")
    events = write_csv(tmp_path / "events.csv", "user,sku", "ann,a")
    result = CliRunner().invoke(app, ["init", str(events), str(items), "--out", str(tmp_path / "dataset.toml")])
    assert result.exit_code == 0, result.output
    for line in ("items.csv: items", "events.csv: interactions", "to fill in: [interactions] timestamp"):
        assert line in result.output
    assert json.dumps(str(tmp_path)) not in (tmp_path / "dataset.toml").read_text()
