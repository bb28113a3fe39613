"""Steam, Yelp, and the tables of published files: read back, or refused by line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import DatasetError, RowError
from tests.published_files import CORE, FIVE, histories, write_lines
from training.datasets import load_dataset
from training.datasets.published import describe_published
from training.datasets.published.published_tables import SeparatedTable
from training.datasets.published.python_lines import python_records

# --- Steam and Yelp


def game(game_id: str, **fields: Any) -> str:
    # As Python 2 writes it: texts as u'', emoji as two surrogates.
    return "{" + ", ".join(f"u'{name}': {value}" for name, value in {"id": f"u'{game_id}'", **fields}.items()) + "}"


def test_steam_is_read_from_python_dicts(tmp_path):
    games = [
        game("1", app_name="u'Rex\\ud83d\\ude00'", genres="[u'Action', u'Indie']", price="4.99", tags="[u'Fun']"),
        game("2", app_name='u"Lost Kitty\'s"', price="u'Free To Play'", release_date="u'2018-01-04'"),
        game("2", app_name="u'Again'"),
        "{u'app_name': u'Without id'}",
        *(game(str(one), title=f"u'Game {one}'", early_access="False") for one in range(3, 7)),
    ]
    write_lines(tmp_path / "steam_games.json.gz", games)
    reviews = [
        f"{{u'username': u'Ann{user}', u'hours': {one}.5, u'products': 41, u'product_id': u'{one}', "
        f"u'page_order': 0, u'date': u'2017-12-1{one}', u'text': u'It\\'s fun', u'early_access': False, u'page': 1}}"
        for user in FIVE
        for one in FIVE
    ]
    without_user = "{u'hours': 1, u'product_id': u'1', u'date': u'2017-12-17'}"
    write_lines(tmp_path / "steam_reviews.json.gz", [without_user, *reviews])
    dataset = load_dataset(tmp_path)
    assert (dataset.name, dataset.rules) == ("steam", CORE)
    assert histories(dataset)["Ann1"] == ["1", "2", "3", "4", "5"]
    assert dataset.items[0].text == "Rex😀\nAction, Indie\nFun"
    assert dataset.items[0].attributes == {"genres": "Action, Indie", "price": "4.99"}
    assert dataset.items[1].text == "Lost Kitty's"
    assert dataset.items[1].attributes == {"price": "Free To Play", "year": "2018"}
    write_lines(tmp_path / "steam_reviews.json.gz", [*reviews, "{u'username': __import__('os').getpid()}"])
    with pytest.raises(RowError, match=r"steam_reviews.json.gz row 26 is not a Python dict"):
        load_dataset(tmp_path)


def test_an_error_of_a_published_table_names_the_line(tmp_path):
    write_lines(tmp_path / "steam_games.json.gz", ["", game("1"), "{u'title': u'no id'}", game(" bulk ")])
    write_lines(tmp_path / "steam_reviews.json.gz", ["{'username': 'a', 'product_id': '1', 'date': '2017-12-17'}"] * 2)
    with pytest.raises(RowError, match=r"steam_games.json.gz row 4, field 'id': got 'bulk'"):
        load_dataset(tmp_path)


def test_yelp_is_read_from_its_academic_files(tmp_path):
    businesses = [
        {
            "business_id": f"b-{one}",
            "name": f"Cafe {one}",
            "address": "1616 Chapala St",
            "city": "Santa Barbara",
            "state": "CA",
            "stars": 5.0,
            "review_count": 7,
            "is_open": 0,
            "attributes": {"ByAppointmentOnly": "True"},
            "categories": None if one == 2 else "Coffee & Tea, Food",
            "hours": None,
        }
        for one in range(1, 8)
    ]
    write_lines(tmp_path / "yelp_academic_dataset_business.json", [json.dumps(one) for one in businesses])
    reviews = [
        {
            "review_id": f"r{user}{one}",
            "user_id": f"u_{user}",
            "business_id": f"b-{one}",
            "stars": 4.0,
            "useful": 0,
            "funny": 0,
            "cool": 0,
            "text": "Good.",
            "date": f"2018-07-0{one} 22:09:11",
        }
        for user in FIVE
        for one in FIVE
    ]
    write_lines(tmp_path / "yelp_academic_dataset_review.json", [json.dumps(one) for one in reviews])
    dataset = load_dataset(tmp_path)
    assert (dataset.name, dataset.rules) == ("yelp", CORE)
    assert histories(dataset)["u_2"] == ["b-1", "b-2", "b-3", "b-4", "b-5"]
    assert dataset.items[0].text == "Cafe 1\nCoffee & Tea, Food\nSanta Barbara"
    assert dataset.items[0].attributes == {"category": "Coffee & Tea", "city": "Santa Barbara", "state": "CA"}
    assert dataset.items[1].attributes == {"city": "Santa Barbara", "state": "CA"}


# --- faults


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ("u.data", "u.item"),
        ("ratings.dat", "movies.dat"),
        ("steam_reviews.json.gz", "steam_games.json.gz"),
        ("yelp_academic_dataset_review.json", "yelp_academic_dataset_business.json"),
        ("reviews_Books_5.json.gz", "meta_Books.json.gz"),
    ],
)
def test_a_missing_file_is_named(present, missing, tmp_path):
    write_lines(tmp_path / present, ["{}"])
    with pytest.raises(DatasetError, match=f"{missing} does not exist"):
        load_dataset(tmp_path)


def test_another_folder_is_not_a_published_set(tmp_path):
    (tmp_path / "ratings.csv").touch()
    assert describe_published(tmp_path) is None
    with pytest.raises(DatasetError, match=r"holds ratings.csv; expected a dataset.toml, or the files of Amazon"):
        load_dataset(tmp_path)


# --- parsers

plain_text = st.text(st.characters(codec="utf-8"))
literals = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), plain_text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_text, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(plain_text, literals, min_size=1, max_size=4), max_size=4), st.booleans())
def test_python_and_json_lines_are_read_back(tmp_path_factory, records, as_json):
    path = tmp_path_factory.getbasetemp() / "lines.json"
    write_lines(path, [json.dumps(one) if as_json else repr(one) for one in records])
    assert [record for _, record in python_records(path)] == records


@given(st.binary(max_size=200))
def test_any_bytes_are_dicts_or_refused_by_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    path.write_bytes(content)
    try:
        assert all(isinstance(record, dict) for _, record in python_records(path))
    except RowError as error:
        assert "bytes.json row " in str(error)  # noqa: PT017 - either outcome is right


values = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n:", exclude_categories=["C"]), min_size=1)


@given(st.lists(st.tuples(values, values, values), min_size=1))
def test_separated_values_agree_with_split(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "ratings.dat"
    path.write_text("".join("::".join(row) + "\n" for row in rows), encoding="utf-8")
    read = SeparatedTable(path, "::", ("a", "b", "c")).read({"a": "id", "c": "text"})
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    assert read["a"].to_pylist() == [line.split("::")[0] for line in lines]
    assert read["c"].to_pylist() == [line.split("::")[2] for line in lines]
