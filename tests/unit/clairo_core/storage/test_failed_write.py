"""A write that fails names its file, whatever library wrote it. Files are limited in size, in a process of its own."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from clairo_core.errors import DatasetError
from clairo_core.storage.failed_write import failed_write, naming_failed_writes
from clairo_core.storage.replaced_file import replaced_file
from clairo_core.storage.replaced_folder import replaced_folder

LIMITED = """
import resource, sys, traceback
from pathlib import Path
import numpy as np
from clairo_core.errors import BundleError
from clairo_core.storage.replaced_file import replaced_file
from clairo_core.storage.replaced_folder import replaced_folder

def safetensors(path):
    from safetensors.numpy import save_file
    save_file({"a": numbers}, path)

def torch(path):
    import torch
    torch.save(torch.from_numpy(numbers), path)

def numpy(path):
    np.savez(path.open("wb"), a=numbers)

def numpy_plain(path):
    np.save(path.open("wb"), numbers)

def pyarrow(path):
    import pyarrow
    import pyarrow.parquet
    pyarrow.parquet.write_table(pyarrow.table({"a": numbers.ravel()}), path)

def pillow(path):
    from PIL import Image
    Image.fromarray((numbers * 255).astype("uint8")).save(path, format="PNG")

def text(path):
    path.write_text("x" * 400_000)

def transformers(path):
    from transformers import T5Config, T5ForConditionalGeneration
    shape = T5Config(vocab_size=2000, d_model=64, num_layers=1, d_ff=64, d_kv=8)
    T5ForConditionalGeneration(shape).save_pretrained(path)

numbers = np.random.default_rng(0).random((400, 400))
write, folder = globals()[sys.argv[1]], Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (100 * 1024, 100 * 1024))
try:
    if sys.argv[3] == "file":
        with replaced_file(folder / "written") as aside:
            write(aside)
    else:
        with replaced_folder(folder / "written", marker="m", expected="a folder", error=BundleError) as aside:
            write(aside / "part")
except OSError as error:
    print(Path(error.filename).name, error.strerror.count(chr(10)), sorted(path.name for path in folder.iterdir()))
"""
LIBRARIES = ("safetensors", "torch", "numpy", "numpy_plain", "pyarrow", "pillow", "text")


@pytest.mark.parametrize(
    ("library", "into"),
    [*((library, "file") for library in LIBRARIES), *((library, "folder") for library in (*LIBRARIES, "transformers"))],
)
def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing(
    tmp_path: Path, library: str, into: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, library, str(tmp_path), into], capture_output=True, text=True, check=False
    )
    named = "written.tmp" if into == "file" else ".written.writing"
    assert ran.stdout == f"{named} 0 []\n", ran.stderr


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    for error in (
        ValueError("no"),
        RuntimeError("no"),
        DatasetError("(os error 28)"),
        FileNotFoundError(2, "no", "x"),
        TimeoutError("timed out"),
        OSError("image file is truncated"),
        OSError("4096 requested and 0 written"),
    ):
        assert failed_write(error, tmp_path) is None
        with pytest.raises(type(error)) as raised, naming_failed_writes(tmp_path / "file"):
            raise error
        assert raised.value is error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), errno.ENOSPC),
        (RuntimeError("Detail: [errno 122] Disk quota exceeded"), errno.EDQUOT),
    ],
)
def test_a_library_s_full_disk_becomes_one_kind_of_error(tmp_path: Path, error: Exception, number: int) -> None:
    found = failed_write(error, tmp_path / "file")
    assert found is not None
    assert (found.errno, found.filename) == (number, str(tmp_path / "file"))


def test_a_missing_file_in_a_library_s_words_is_not_a_failed_write(tmp_path: Path) -> None:
    assert failed_write(Exception("No such file or directory (os error 2)"), tmp_path) is None


def test_a_caller_s_error_in_the_block_is_not_renamed(tmp_path: Path) -> None:
    with pytest.raises(KeyError), replaced_file(tmp_path / "a"):
        raise KeyError("a")
    with (
        pytest.raises(DatasetError),
        replaced_folder(tmp_path / "b", marker="m", expected="a folder", error=DatasetError),
    ):
        raise DatasetError("b")
