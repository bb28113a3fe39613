"""A write that fails names its file, whatever library wrote it. Files are limited in size, in a process of its own."""

import errno
from pathlib import Path

import pytest

from clairo_core.errors import DatasetError
from clairo_core.storage.failed_write import failed_write, naming_failed_writes
from clairo_core.storage.replaced_file import replaced_file
from clairo_core.storage.replaced_folder import replaced_folder
from tests.fresh_processes import fresh_process
from tests.limited_writes import FILE_LIBRARIES, LIBRARIES


@pytest.mark.parametrize(
    ("library", "into"),
    [*((library, "file") for library in FILE_LIBRARIES), *((library, "folder") for library in LIBRARIES)],
)
def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing(
    tmp_path: Path, library: str, into: str
) -> None:
    with fresh_process(["python", "-m", "tests.limited_writes", library, str(tmp_path), into], tmp_path, {}) as process:
        process.wait()
    named = "written.tmp" if into == "file" else ".written.writing"
    # transformers reports its progress before.
    assert process.output.endswith(f"{named} 0 []\n")


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
