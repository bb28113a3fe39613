"""Published data sets by the names of their files, on small files in the published layouts."""

import json
from pathlib import Path
from typing import Any

import pytest

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from clairo_core.events import InteractionRules
from tests.documented_blocks import documented
from tests.published_files import CORE, FIVE, histories, write_lines
from training.datasets import describe_dataset, load_dataset
from training.datasets.fetch_pictures import PictureUrls
from training.datasets.pictures.picture_urls import fetched_picture

# --- Amazon Reviews


def test_amazon_2014_has_metadata_of_python_dicts(tmp_path):
    reviews = [
        {
            "reviewerID": f"A{user}",
            "asin": f"000{item}",
            "reviewerName": 'C. "Yeah"',
            "helpful": [0, 0],
            "reviewText": "Good.",
            "overall": 5.0,
            "summary": "good",
            "unixReviewTime": 1393545600 - 86400 * item,
            "reviewTime": "02 28, 2014",
        }
        for user in FIVE
        for item in FIVE
    ]
    write_lines(tmp_path / "reviews_Musical_Instruments_5.json.gz", [json.dumps(one) for one in reviews])
    meta: list[dict[str, Any]] = [
        {
            "asin": "0001",
            "description": "It's <b>clear</b> &amp; bright.",
            "title": "Strings",
            "price": 17.0,
            "imUrl": "http://ecx.images-amazon.com/images/I/41.jpg",
            "related": {"also_viewed": ["B002HJ"]},
            "salesRank": {"Musical Instruments": 207315},
            "categories": [["Musical Instruments", "Guitars", "Strings"], ["Musical Instruments", "Gifts"]],
            "brand": "Ernie Ball",
        },
        *({"asin": f"000{item}", "title": f"Item {item}"} for item in range(2, 9)),
    ]
    write_lines(tmp_path / "meta_Musical_Instruments.json.gz", [repr(one) for one in meta])
    dataset = load_dataset(tmp_path)
    assert dataset.name == "Musical_Instruments"
    assert dataset.rules == CORE
    assert histories(dataset)["A1"] == ["0005", "0004", "0003", "0002", "0001"]
    assert dataset.items[0].texts == {
        "title": "Strings",
        "brand": "Ernie Ball",
        "categories": "Musical Instruments, Guitars, Strings, Gifts",
        "description": "It's clear & bright.",
    }
    assert dataset.items[0].attributes == {"brand": "Ernie Ball", "category": "Strings", "price": "17"}
    assert dataset.items[0].picture is None
    urls = PictureUrls(tmp_path)
    assert urls.table() == "        1  http://ecx.images-amazon.com"
    (fetched,) = (fetched_picture(urls.folder, url) for url in urls.item_of)
    fetched.parent.mkdir()
    fetched.write_bytes(b"not looked at here")
    assert load_dataset(tmp_path).items[0].picture == fetched
    fetched.unlink()
    same = load_dataset(tmp_path).fingerprint
    write_lines(tmp_path / "reviews_Musical_Instruments_5.json.gz", [repr(one) for one in reviews])
    assert load_dataset(tmp_path).fingerprint == same


def meta_of_2023(item: int) -> dict[str, Any]:
    return {
        "main_category": "All Beauty",
        "title": f"Item {item}",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": ["Soft", "Light"],
        "description": ["A <i>brush</i> for all."],
        "price": 9.5 if item == 1 else None,
        "images": [{"thumb": "https://m.media-amazon.com/images/I/1.jpg", "large": "...", "hi_res": None}],
        "videos": [],
        "store": "Howard",
        "categories": [],
        "details": {"Package Dimensions": "7 x 5"},
        "parent_asin": f"B{item}",
        "bought_together": None,
    }


def test_amazon_2023_is_read_from_its_raw_reviews(tmp_path):
    reviews = [
        {
            "rating": float(item),
            "title": "Nice",
            "text": "Good.",
            "images": [],
            "asin": f"X{item}",
            "parent_asin": f"B{item}",
            "user_id": f"U{user}",
            "timestamp": 1588687728923 + item,
            "helpful_vote": 0,
            "verified_purchase": True,
        }
        for user in FIVE
        for item in FIVE
    ]
    write_lines(tmp_path / "All_Beauty.jsonl.gz", [json.dumps(one) for one in reviews])
    write_lines(tmp_path / "meta_All_Beauty.jsonl.gz", [json.dumps(meta_of_2023(item)) for item in range(9)])
    dataset = load_dataset(tmp_path)
    assert (dataset.name, dataset.rules) == ("All_Beauty", CORE)
    assert histories(dataset)["U1"] == ["B1", "B2", "B3", "B4", "B5"]
    assert dataset.days is not None
    assert int(dataset.days[0]) == 18387
    assert dataset.items[0].text == "Item 1\nHoward\nSoft Light\nA brush for all."
    assert dataset.items[0].attributes == {"brand": "Howard", "category": "All Beauty", "price": "9.5"}


def test_amazon_2023_is_read_from_the_csv_of_its_benchmark(tmp_path):
    rows = [f"U{user},B{item},{item}.0,{1588687728923 + item}" for user in FIVE for item in FIVE]
    (tmp_path / "All_Beauty.csv").write_text("\n".join(["user_id,parent_asin,rating,timestamp", *rows, ""]))
    write_lines(tmp_path / "meta_All_Beauty.jsonl", [json.dumps(meta_of_2023(item)) for item in FIVE])
    assert histories(load_dataset(tmp_path))["U5"] == ["B1", "B2", "B3", "B4", "B5"]
    (tmp_path / "All_Beauty.csv").unlink()
    with pytest.raises(DatasetError, match=r"expected All_Beauty.csv or .* beside meta_All_Beauty.jsonl, found none"):
        load_dataset(tmp_path)


# --- MovieLens


def write_100k(folder: Path) -> None:
    ratings = [f"{user}\t{movie}\t{movie}\t{881250949 - movie}" for user in FIVE for movie in FIVE]
    write_lines(folder / "u.data", ratings)
    flags = ["0", "0", "0", "1", "1", *["0"] * 14]
    movies = [
        f"{movie}|Léon {movie} (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?x|{'|'.join(flags)}"
        for movie in range(1, 8)
    ]
    write_lines(folder / "u.item", movies, "latin-1")


def test_movielens_100k_is_read_from_tabs_and_pipes_in_latin_1(tmp_path):
    write_100k(tmp_path)
    dataset = load_dataset(tmp_path)
    assert dataset.rules == InteractionRules(min_interactions=5, unknown_items="drop")
    assert histories(dataset)["1"] == ["5", "4", "3", "2", "1"]
    assert dataset.items[0].texts == {"title": "Léon 1 (1995)", "genres": "Animation, Children's"}
    assert dataset.items[0].attributes == {"genres": "Animation, Children's", "year": "1995"}


def test_movielens_1m_is_read_from_double_colons_in_latin_1(tmp_path):
    write_lines(tmp_path / "ratings.dat", [f"{user}::{movie}::5::97830{movie}" for user in FIVE for movie in FIVE])
    movies = [f"{movie}::Les Misérables {movie} (1995)::Drama|Musical" for movie in FIVE]
    write_lines(tmp_path / "movies.dat", movies, "latin-1")
    write_lines(tmp_path / "users.dat", ["1::F::1::10::48067"])
    dataset = load_dataset(tmp_path)
    assert histories(dataset)["3"] == ["1", "2", "3", "4", "5"]
    assert dataset.items[4].text == "Les Misérables 5 (1995)\nDrama, Musical"


def write_latest(folder: Path) -> None:
    ratings = [f"{user},{movie},{movie - 0.5},{964982703 + movie}" for user in FIVE for movie in FIVE]
    write_lines(folder / "ratings.csv", ["userId,movieId,rating,timestamp", *ratings])
    movies = [
        '1,"American President, The (1995)",Comedy|Romance',
        "2,Unknown,(no genres listed)",
        *(f"{movie},Film {movie} (1999),Drama" for movie in range(3, 8)),
    ]
    write_lines(folder / "movies.csv", ["movieId,title,genres", *movies])
    tags = ["1,1,Funny,1", "2,1,funny,2", "3,1,politics,3", "4,1,acting,3", '5,6,"a, b",1']
    write_lines(folder / "tags.csv", ["userId,movieId,tag,timestamp", *tags])
    write_lines(folder / "links.csv", ["movieId,imdbId,tmdbId", "1,0112346,9087"])


def test_movielens_as_csv_has_tags_by_the_number_of_users_and_posters_by_id(tmp_path):
    write_latest(tmp_path)
    (tmp_path / "posters").mkdir()
    for name in ("1.jpg", "2.png"):
        (tmp_path / "posters" / name).write_bytes(b"not looked at here")
    items = load_dataset(tmp_path).items
    assert items[0].texts == {
        "title": "American President, The (1995)",
        "genres": "Comedy, Romance",
        "tags": "funny, acting, politics",
    }
    assert items[1].texts == {"title": "Unknown"}
    assert items[1].attributes == {}
    pictures = [item.picture for item in items]
    assert pictures == [tmp_path / "posters/1.jpg", tmp_path / "posters/2.png", None, None, None]


def test_a_toml_overrides_what_a_published_set_does(tmp_path):
    write_latest(tmp_path)
    (tmp_path / "posters").mkdir()
    (tmp_path / "posters" / "5.jpg").write_bytes(b"not looked at here")
    (tmp_path / "likes.toml").write_text(
        'published = "."\nname = "likes"\n[items]\nonly_with_picture = true\nunreadable_pictures = "drop"\n'
        '[interactions]\nmin_interactions = 0\ntargets = ["like"]\n'
        '[events]\nlike = {when = "rating >= 4"}\nseen = {weight = 0.5, when = "rating >= 3"}\n'
        'dislike = {counts = "negative", when = "rating < 3"}\n'
    )
    dataset = load_dataset(tmp_path / "likes.toml")
    assert (dataset.name, [item.item_id for item in dataset.items]) == ("likes", ["5"])
    assert dataset.rules.min_interactions == 0
    assert dataset.rules.unknown_items == "drop"
    assert list(dataset.rules.types) == ["like", "seen", "dislike"]
    assert dataset.rules.targets == ("like",)
    assert dataset.rules.value_column == "rating"


def test_a_published_set_takes_codes_from_a_file(tmp_path):
    write_100k(tmp_path)
    rows = "".join(f"{movie},{movie % 3},7\n" for movie in range(1, 8))
    (tmp_path / "ids.csv").write_text(f"item_id,code_0,code_1\n{rows}")
    (tmp_path / "dataset.toml").write_text(
        'published = "."\n[codes]\nfile = "ids.csv"\ncolumns = ["code_0", "code_1"]\nsizes = [3, 8]\n'
    )
    dataset = load_dataset(tmp_path)
    assert [item.item_id for item in dataset.items] == [str(movie) for movie in FIVE]
    assert dataset.semantic_ids.tolist() == [[movie % 3, 7] for movie in FIVE]
    assert dataset.codebook_sizes == (3, 8)


def test_the_documented_toml_of_a_published_set_is_read(tmp_path):
    write_latest(tmp_path)
    (tmp_path / "dataset.toml").write_text(documented("published = "), encoding="utf-8")
    rules = describe_dataset(tmp_path).rules
    assert (rules.targets, list(rules.types)) == (("like",), ["like", "seen", "dislike"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('published = "nowhere"', "expected a folder with the files of Amazon"),
        ('published = "."\n[interactions]\nfile = "a.csv"', "file: got an unknown key"),
        ('published = "."\n[events]\nlike = 1.0', "events: got no condition, expected one"),
        ('published = "."\n[interactions]\ntargets = ["x"]\n[events]\nlike = {when = "rating > 3"}', "'x' is not a"),
    ],
)
def test_a_toml_of_a_published_set_is_checked(content, says, tmp_path):
    write_100k(tmp_path)
    (tmp_path / "dataset.toml").write_text(content)
    with pytest.raises(DatasetError, match=says):
        load_dataset(tmp_path)


def test_damaged_movielens_files_are_refused_by_name(tmp_path):
    write_100k(tmp_path)
    write_lines(tmp_path / "u.data", ["1\t2\t3\t4", "1\t2"])
    with pytest.raises(DatasetError, match=r"u.data: expected userId, movieId, .* in each line"):
        load_dataset(tmp_path)
    write_lines(tmp_path / "u.data", [])
    with pytest.raises(EmptyTableError, match=r"u.data has no rows"):
        load_dataset(tmp_path)
    write_lines(tmp_path / "u.item", ["", "1|Leon|x"])
    with pytest.raises(RowError, match=r"u.item row 2: got 3 values between '\|', expected 24"):
        load_dataset(tmp_path)
