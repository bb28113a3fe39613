"""Folders of fitted parts: saved values are loaded unchanged, and damage is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clairo_core.errors import QuantizerError
from clairo_core.storage.array_folder import load_array_folder, load_kind, save_array_folder

NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_array_folder(tmp_path / "part", "quantizer", "opq", {"numbers": NUMBERS}, {"names": ["a", "b"]})
    return tmp_path / "part"


def test_a_loaded_folder_equals_the_saved_one(folder: Path) -> None:
    saved = load_array_folder(folder, "quantizer", "opq", QuantizerError)
    assert load_kind(folder, "quantizer", QuantizerError) == "opq"
    assert saved.texts("names") == ("a", "b")
    assert np.array_equal(saved.array("numbers", np.float32, (2, None)), NUMBERS)


def test_a_mapped_array_is_shared_until_it_changes_and_never_changes_its_file(folder: Path) -> None:
    saved = load_array_folder(folder, "quantizer", "opq", QuantizerError)
    mapped = saved.mapped("numbers", np.float32, (2, 3))
    assert np.shares_memory(mapped, saved.mapped("numbers", np.float32, (2, 3)))
    assert not np.shares_memory(mapped, saved.array("numbers", np.float32, (2, 3)))
    mapped[0] = -1.0
    again = load_array_folder(folder, "quantizer", "opq", QuantizerError)
    assert np.array_equal(again.mapped("numbers", np.float32, (2, 3)), NUMBERS)


@given(
    arrays.arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.bool_, "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]),
        arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    )
)
def test_every_array_is_restored_bit_by_bit(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    array = np.nan_to_num(array)
    folder = tmp_path_factory.mktemp("folder")
    save_array_folder(folder, "quantizer", "opq", {"turned": array.T})
    saved = load_array_folder(folder, "quantizer", "opq", QuantizerError)
    assert np.array_equal(saved.array("turned", array.dtype, array.T.shape), array.T)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[1]", "expected a JSON object"),
        ({"part": "encoder"}, "expected the quantizer 'opq'"),
        ({"kind": "rq"}, "expected the quantizer 'opq'"),
        ({"schema_version": "1"}, "schema_version is '1'"),
        ({"schema_version": 2}, "update CLAIRO"),
    ],
)
def test_a_damaged_header_is_refused_by_name(folder: Path, header: str | dict[str, object], words: str) -> None:
    path = folder / "quantizer.json"
    if isinstance(header, dict):
        header = json.dumps(json.loads(path.read_text(encoding="utf-8")) | header)
    path.write_text(header, encoding="utf-8")
    with pytest.raises(QuantizerError, match=r"quantizer\.json") as caught:
        load_array_folder(folder, "quantizer", "opq", QuantizerError)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["quantizer.json", "arrays.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(QuantizerError, match=name):
        load_array_folder(folder, "quantizer", "opq", QuantizerError)


@pytest.mark.parametrize("kept_bytes", [0, 4, 40, 90])
def test_arrays_cut_short_are_refused(folder: Path, kept_bytes: int) -> None:
    path = folder / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(QuantizerError, match=r"arrays\.safetensors is missing or damaged"):
        load_array_folder(folder, "quantizer", "opq", QuantizerError)


def test_an_array_that_is_not_as_expected_is_named(folder: Path) -> None:
    saved = load_array_folder(folder, "quantizer", "opq", QuantizerError)
    with pytest.raises(QuantizerError, match="'codes' is missing"):
        saved.array("codes", np.float32, (None,))
    with pytest.raises(QuantizerError, match="expected float64"):
        saved.array("numbers", np.float64, (2, 3))
    with pytest.raises(QuantizerError, match=r"expected float32 \(2, 4\)"):
        saved.array("numbers", np.float32, (2, 4))
    with pytest.raises(QuantizerError, match=r"\('any',\)"):
        saved.array("numbers", np.float32, (None,))
    with pytest.raises(QuantizerError, match="expected a list of strings"):
        saved.texts("kind")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, dtype: type, value: float) -> None:
    largest = np.finfo(dtype).max
    save_array_folder(tmp_path, "quantizer", "opq", {"numbers": np.array([[largest, -largest], [0, value]], dtype)})
    saved = load_array_folder(tmp_path, "quantizer", "opq", QuantizerError)
    with pytest.raises(QuantizerError, match="not finite"):
        saved.array("numbers", dtype, (2, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_values_are_finite(tmp_path: Path, dtype: type) -> None:
    largest = np.array([np.finfo(dtype).max, -np.finfo(dtype).max], dtype)
    save_array_folder(tmp_path, "quantizer", "opq", {"numbers": largest})
    saved = load_array_folder(tmp_path, "quantizer", "opq", QuantizerError)
    assert np.array_equal(saved.array("numbers", dtype, (2,)), largest)


def test_saving_again_replaces_the_files_and_leaves_no_others(folder: Path) -> None:
    save_array_folder(folder, "quantizer", "opq", {"numbers": NUMBERS + 1})
    saved = load_array_folder(folder, "quantizer", "opq", QuantizerError)
    assert np.array_equal(saved.array("numbers", np.float32, (2, 3)), NUMBERS + 1)
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.safetensors", "quantizer.json"]
