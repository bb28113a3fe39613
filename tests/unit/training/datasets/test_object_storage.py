"""Tables in object storage, over a real connection to an S3-compatible server."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from clairo_core.errors import DatasetError
from tests.object_storage import BUCKET, CREDENTIALS, running_storage
from training.datasets import load_dataset
from training.datasets.check import check_dataset
from training.datasets.init import write_description
from training.datasets.tables.parquet_datasets import ParquetDataset

SKUS = [f"p-{row}" for row in range(5)]
ITEMS = pa.table({"item_id": SKUS, "title": [f"Cup {sku}" for sku in SKUS]})


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fs.FileSystem]:
    with (
        running_storage(tmp_path_factory.mktemp("storage")) as storage,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("AWS_ENDPOINT_URL", storage.endpoint)
        environment.setenv("AWS_REGION", "us-east-1")
        yield fs.FileSystem.from_uri(f"s3://{BUCKET}")[0]


def events(first: int) -> pa.Table:
    rows = range(first, first + 20)
    return pa.table(
        {
            "user_id": [f"u-{row % 4}" for row in rows],
            "item_id": [SKUS[row % 5] for row in rows],
            "at": [1_700_000_000 + row for row in rows],
        }
    )


def written(root: str, filesystem: fs.FileSystem) -> str:
    """Write items and events below a folder; returns the description with ROOT for it."""
    folders = ("items", "events/day=1", "events/day=2")
    for folder in folders if isinstance(filesystem, fs.LocalFileSystem) else ():
        filesystem.create_dir(f"{root}/{folder}")
    pq.write_table(ITEMS, f"{root}/items/part-0.parquet", filesystem=filesystem)
    for day in (1, 2):
        pq.write_table(events(day * 20), f"{root}/events/day={day}/part-0.parquet", filesystem=filesystem)
    return (
        'name = "shop"\n[items]\nfile = "ROOT/items/"\ntexts = ["title"]\n'
        '[interactions]\nfile = "ROOT/events/"\ntimestamp = "at"\n'
    )


def described(folder: Path, toml: str, root: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dataset.toml").write_text(toml.replace("ROOT", root), encoding="utf-8")
    return folder


def test_a_data_set_in_object_storage_is_that_of_the_same_files_here(bucket, tmp_path):
    toml = written(f"{BUCKET}/a", bucket)
    written(str(tmp_path / "here"), fs.LocalFileSystem())
    stored = load_dataset(described(tmp_path / "there", toml, f"s3://{BUCKET}/a"))
    assert stored.fingerprint == load_dataset(described(tmp_path, toml, "here")).fingerprint


def test_init_and_check_take_addresses(bucket, tmp_path):
    written(f"{BUCKET}/b", bucket)
    root = f"s3://{BUCKET}/b"
    assert write_description([f"{root}/items/", f"{root}/events"], tmp_path / "dataset.toml").to_fill_in == []
    assert f'file = "{root}/events"' in (tmp_path / "dataset.toml").read_text(encoding="utf-8")
    check = check_dataset(tmp_path)
    assert list(check.faults) == []
    assert check.facts is not None
    assert check.facts.histories.events == 40


def test_an_error_names_address_and_row(bucket, tmp_path):
    toml = written(f"{BUCKET}/c", bucket)
    wrong = events(0).set_column(1, "item_id", pa.array(["coat"] * 20))
    pq.write_table(wrong, f"{BUCKET}/c/events/day=2/part-1.parquet", filesystem=bucket)
    with pytest.raises(
        DatasetError, match=f"^s3://{BUCKET}/c/events/day=2/part-1.parquet row 1, field 'item_id': item"
    ):
        load_dataset(described(tmp_path, toml, f"s3://{BUCKET}/c"))


@pytest.mark.parametrize("address", [f"s3://{BUCKET}/nothing/", "s3://no-such-bucket/events/"])
def test_an_address_without_files_is_refused(bucket, address):
    with pytest.raises(DatasetError, match=f"^{address} does not exist; correct the address"):
        ParquetDataset(address).column_names()


def test_a_damaged_object_is_named(bucket):
    with bucket.open_output_stream(f"{BUCKET}/d/part.parquet") as file:
        file.write(b"not a table")
    with pytest.raises(DatasetError, match=f"^s3://{BUCKET}/d/part.parquet cannot be read, or is not a Parquet file"):
        ParquetDataset(f"s3://{BUCKET}/d").column_names()


def test_storage_that_does_not_answer_is_named_without_secrets(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DatasetError) as error:
        ParquetDataset(f"s3://{BUCKET}/events/").column_names()
    assert str(error.value).startswith(f"s3://{BUCKET}/events/ cannot be read (")
    assert "check the address, AWS_ACCESS_KEY_ID" in str(error.value)
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(error.value)


@pytest.mark.parametrize(
    "address", ["s3://key:pass-word@shop/events/", "s3://key:pass/word@shop/", "ftp://key:pass-word@shop/events"]
)
def test_credentials_in_an_address_are_refused_and_not_shown(tmp_path, address):
    toml = f'[items]\nfile = "{address}"\ntexts = ["title"]\n[interactions]\nfile = "e.csv"\ntimestamp = "at"\n'
    with pytest.raises(DatasetError, match=r"@.*: got credentials in the address, expected none") as error:
        load_dataset(described(tmp_path, toml, ""))
    assert "pass" not in str(error.value)
    assert "word" not in str(error.value)


def test_an_unknown_kind_of_address_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"^ftp://shop/events: got an address .*, expected one such as s3://BUCKET/"):
        ParquetDataset("ftp://shop/events").column_names()


def test_check_has_one_fault_for_an_address_with_credentials(tmp_path):
    toml = (
        '[items]\nfile = "s3://key:pass@shop/i/"\ntexts = ["title"]\n[interactions]\nfile = "e.csv"\ntimestamp = "at"\n'
    )
    faults = [str(fault) for fault in check_dataset(described(tmp_path, toml, "")).faults]
    assert len(faults) == 1
    assert "got credentials in the address" in faults[0]
