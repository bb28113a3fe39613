"""Amazon Reviews 2018 as published: malformed fields, duplicates, and the 5-core."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from clairo_core.errors import DatasetError, EmptyTableError, RowError
from training.datasets import check_pictures, load_dataset

ASINS = ["B1", "B2", "B3", "B4", "B5"]
USERS = ["U1", "U2", "U3", "U4", "U5"]


def review(user: str, asin: str, time: int) -> dict[str, Any]:
    return {
        "overall": 5.0,
        "verified": True,
        "reviewTime": "09 1, 2016",
        "reviewerID": user,
        "asin": asin,
        "style": {"Color:": " Red"},
        "reviewText": "Good.",
        "unixReviewTime": time,
    }


# Every user has every item, the later items earlier; so the 5-core is everything.
REVIEWS = [review(user, asin, 1000 - place) for user in USERS for place, asin in enumerate(ASINS)]
META = [{"asin": asin, "title": f"Guitar {asin}", "category": [], "description": []} for asin in ASINS]


def write_category(folder: Path, reviews: list[Any] = REVIEWS, meta: list[Any] = META) -> tuple[Path, Path]:
    paths = folder / "Musical_Instruments_5.json.gz", folder / "meta_Musical_Instruments.json.gz"
    for path, records in zip(paths, (reviews, meta), strict=True):
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return paths


def test_reviews_become_histories_by_time(tmp_path):
    write_category(tmp_path)
    dataset = load_dataset(tmp_path)
    assert dataset.name == "Musical_Instruments"
    assert dataset.user_ids == tuple(USERS)
    assert [dataset.items[row].item_id for row in dataset.sequences[0]] == ASINS[::-1]
    assert dataset.items[0].title == "Guitar B1"


def test_duplicates_and_rare_users_and_items_are_left_out(tmp_path):
    again = review("U1", "B1", 2000)
    rare_user, rare_item, without_metadata = review("U9", "B1", 5), review("U1", "B9", 5), review("U1", "B8", 5)
    reviews = [*REVIEWS, REVIEWS[0], again, rare_user, rare_item, without_metadata]
    write_category(tmp_path, reviews, [*META, {"asin": "B9", "title": "Rare"}, {**META[0], "title": "Again"}])
    dataset = load_dataset(tmp_path)
    assert [item.item_id for item in dataset.items] == ASINS
    assert dataset.items[0].title == "Guitar B1"
    assert dataset.sequences.lengths.tolist() == [5] * 5
    assert [dataset.items[row].item_id for row in dataset.sequences[0]] == ASINS[::-1]


def test_duplicates_do_not_count_towards_the_core(tmp_path):
    reviews = [*REVIEWS[:-1], REVIEWS[0]]
    write_category(tmp_path, reviews)
    with pytest.raises(EmptyTableError, match="none of 25 interactions"):
        load_dataset(tmp_path)


def test_metadata_is_cleaned_and_malformed_fields_count_as_missing(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("B1.jpg", "B1.png", "B3.webp", "notes.txt"):
        (tmp_path / "images" / name).touch()
    meta: list[dict[str, Any]] = [
        {
            "asin": "B1",
            "title": "Strings &amp; <b>Picks</b>",
            "brand": "by\n    Ernie Ball",
            "category": ["Musical Instruments", "Guitars", "A sentence " * 10, "Strings"],
            "feature": ["Made in <i>USA</i>", "Nickel"],
            "description": ["Bright.", "", "Warm."],
            "price": "$1,004.99",
            "imageURLHighRes": ["https://images-na.ssl-images-amazon.com/images/I/1.jpg"],
        },
        {"asin": "B2", "title": "\n  var aPageStart = (new Date()).getTime();", "price": ".a-box-inner{color:red}"},
        {"asin": "B3", "title": None, "description": "One text\u0000 \ud800only", "category": None, "brand": 7},
        {"asin": "B4", "title": ["not", "a", "title"], "description": {"a": 1}},
        {"asin": "B5", "title": "Amp", "price": "$5.00 - $9.99"},
    ]
    write_category(tmp_path, meta=meta)
    items = load_dataset(tmp_path).items
    assert items[0].texts == {
        "title": "Strings & Picks",
        "brand": "Ernie Ball",
        "categories": "Musical Instruments, Guitars, Strings",
        "features": "Made in USA Nickel",
        "description": "Bright. Warm.",
    }
    assert items[0].attributes == {"brand": "Ernie Ball", "category": "Strings", "price": "$1,004.99"}
    assert items[1].texts == {}
    assert items[1].attributes == {}
    assert items[2].texts == {"description": "One text only"}
    assert items[3].texts == {}
    assert items[4].attributes == {"price": "$5.00 - $9.99"}


def test_pictures_are_found_beside_the_tables_by_asin(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("B1.png", "B1.jpg", "B3.webp", "notes.txt"):
        (tmp_path / "images" / name).write_bytes(b"not looked at here")
    write_category(tmp_path)
    pictures = [item.picture for item in load_dataset(tmp_path).items]
    assert pictures == [tmp_path / "images/B1.jpg", None, tmp_path / "images/B3.webp", None, None]
    expected = (
        r"json.gz row 1, field 'picture': item 'B1': got 18 bytes .*, expected a JPEG.*; or set unreadable_pictures"
    )
    with pytest.raises(RowError, match=expected):
        check_pictures(load_dataset(tmp_path))


def test_a_bad_line_is_refused_by_number(tmp_path):
    _, meta = write_category(tmp_path, meta=[META[0], "{'asin': 'B2'}"])
    with pytest.raises(RowError, match=f"{meta.name} row 2 is not JSON"):
        load_dataset(tmp_path)
    _, meta = write_category(tmp_path, meta=[META[0], {"title": "no asin"}])
    with pytest.raises(RowError, match=f"{meta.name} row 2, field 'asin': got None"):
        load_dataset(tmp_path)
    reviews, _ = write_category(tmp_path, [*REVIEWS, {**REVIEWS[0], "unixReviewTime": "soon"}])
    with pytest.raises(RowError, match=f"{reviews.name} row 26, field 'unixReviewTime': got 'soon'"):
        load_dataset(tmp_path)
    reviews, _ = write_category(tmp_path, [*REVIEWS, {**REVIEWS[0], "reviewerID": None}])
    with pytest.raises(RowError, match=f"{reviews.name} row 26, field 'reviewerID': the id is missing"):
        load_dataset(tmp_path)


def test_a_truncated_or_empty_download_is_refused_by_name(tmp_path):
    for path in write_category(tmp_path):
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        with pytest.raises(DatasetError, match=f"{path.name} is not a gzip file, or is damaged or cut short"):
            load_dataset(tmp_path)
        path.write_bytes(gzip.compress(b""))
        with pytest.raises(EmptyTableError, match=f"{path.name} has no (lines|rows)"):
            load_dataset(tmp_path)
        path.write_bytes(whole)


def test_missing_or_several_categories_are_refused(tmp_path):
    _, meta = write_category(tmp_path)
    meta.unlink()
    with pytest.raises(DatasetError, match=r"meta_Musical_Instruments.json.gz does not exist; download it"):
        load_dataset(tmp_path)
    (tmp_path / "Books_5.json.gz").touch()
    with pytest.raises(DatasetError, match=r"found Books_5.json.gz, Musical_Instruments_5.json.gz; put each"):
        load_dataset(tmp_path)


def test_metadata_of_another_category_is_refused(tmp_path):
    write_category(tmp_path, meta=[{"asin": "0001", "title": "A book"}])
    with pytest.raises(EmptyTableError, match="none of its 1 items is reviewed; download the metadata"):
        load_dataset(tmp_path)
    with pytest.raises(DatasetError, match="has no file of codes"):
        load_dataset(tmp_path, code_columns=["text"])
