"""Pictures in Parquet: read when they are looked at, and never all at once."""

import pickle
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import DatasetError
from tests.tiny import drawn_picture
from training.datasets import check_pictures, load_dataset
from training.datasets.check import check_dataset
from training.datasets.tables import parquet_datasets
from training.datasets.tables.parquet_datasets import ParquetDataset
from training.datasets.tables.parquet_pictures import PictureColumn

TOML = """name = "shop"
[items]
file = "FILE"
texts = ["title"]
picture = "photo"
[interactions]
file = "events.csv"
timestamp = "at"
"""


@pytest.fixture(autouse=True, scope="module")
def _few_at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parquet_datasets, "PICTURE_ROWS", 3)
        yield


def picture_bytes(row: int) -> bytes:
    return drawn_picture((40 * row % 256, 80, 160), np.random.default_rng(row))


def write_shop(folder: Path, photos: Sequence[object], file: str = "items/", **columns: Sequence[object]) -> Path:
    """Write items in files of five and row groups of four, and one event each."""
    ids = [f"p-{row}" for row in range(len(photos))]
    table = pa.table({"item_id": ids, "title": [f"Cup {one}" for one in ids], "photo": photos} | columns)
    (folder / "items").mkdir(parents=True, exist_ok=True)
    for start in range(0, len(table), 5):
        pq.write_table(table.slice(start, 5), folder / f"items/part-{start:03}.parquet", row_group_size=4)
    lines = ["user_id,item_id,at", *(f"u,{one},{row}" for row, one in enumerate(ids))]
    (folder / "events.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "dataset.toml").write_text(TOML.replace("FILE", file), encoding="utf-8")
    return folder


@settings(max_examples=30)
@given(order=st.lists(st.integers(0, 16), max_size=30))
def test_pictures_are_those_of_their_rows_in_any_order(tmp_path_factory, order):
    photos = [bytes([row]) * (row + 1) for row in range(17)]
    column = PictureColumn(ParquetDataset(str(write_shop(tmp_path_factory.mktemp("shop"), photos) / "items")), "photo")
    assert [column.picture(row).read_bytes() for row in order] == [photos[row] for row in order]


def test_a_folder_with_pictures_is_the_dataset_of_their_files(tmp_path):
    photos = [None if row == 3 else b"" if row == 6 else picture_bytes(row) for row in range(8)]
    stored = load_dataset(write_shop(tmp_path / "bytes", photos))
    for row, photo in enumerate(photos):
        (tmp_path / f"{row}.png").write_bytes(photo or b"")
    names = [f"../{row}.png" if photo else None for row, photo in enumerate(photos)]
    in_files = load_dataset(write_shop(tmp_path / "paths", names))
    assert stored.fingerprint == in_files.fingerprint
    assert [item.read_picture() for item in stored.items] == [photo or None for photo in photos]
    assert check_pictures(stored) is stored


def test_a_grouped_item_has_the_first_picture_of_its_rows(tmp_path):
    photos = [None, picture_bytes(1), picture_bytes(2), picture_bytes(3)]
    folder = write_shop(tmp_path, photos, group=["a", "a", "b", "b"])
    toml = folder / "dataset.toml"
    toml.write_text(toml.read_text().replace("picture =", 'item_key = "item_id"\ngroup_variants = "group"\npicture ='))
    assert [item.read_picture() for item in load_dataset(folder).items] == [photos[1], photos[2]]


def test_another_process_gets_the_bytes(tmp_path):
    item = load_dataset(write_shop(tmp_path, [picture_bytes(0)] * 3)).items[2]
    assert pickle.loads(pickle.dumps(item)).picture == picture_bytes(0)


def test_a_picture_that_cannot_be_decoded_is_named_by_file_and_row(tmp_path):
    folder = write_shop(tmp_path, [picture_bytes(0)] * 6 + [b"not a picture"])
    with pytest.raises(DatasetError, match=r"items/part-005.parquet row 2, field 'photo': item 'p-6'"):
        check_pictures(load_dataset(folder))
    (fault,) = check_dataset(folder).faults
    assert str(fault).startswith("items/part-005.parquet row 2, field 'photo': item 'p-6'")


def test_numbers_are_no_pictures(tmp_path):
    folder = write_shop(tmp_path, list(range(6)))
    with pytest.raises(
        DatasetError, match="field 'photo': the column is int64, expected a picture's bytes or its path"
    ):
        load_dataset(folder)


def peak_memory(folder: Path) -> int:
    """Bytes of Arrow and Python at the peak of loading."""
    pool, usual = pa.proxy_memory_pool(pa.system_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        assert load_dataset(folder).items[0].picture is not None
        return int(pool.max_memory() + tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


def test_more_pictures_take_no_more_memory(tmp_path):
    size = 200_000
    few, many = (
        peak_memory(write_shop(tmp_path / name, [bytes([row]) * size for row in range(count)]))
        for name, count in (("few", 10), ("many", 100))
    )
    assert many < few + 90 * size / 4
