"""A folder is replaced whole, or not at all."""

from pathlib import Path

import pytest

from clairo_core.errors import ContentError
from clairo_core.storage.replaced_folder import replaced_folder, set_aside_name


def write(folder: Path, content: str) -> None:
    with replaced_folder(folder, marker="marker", expected="an export", error=ContentError) as aside:
        (aside / "inner").mkdir()
        (aside / "inner" / "table").write_text(content)
        if content == "half":
            raise OSError("no space left")
        (aside / "marker").touch()


def test_the_new_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "parent" / "export", "old")
    write(tmp_path / "parent" / "export", "new")
    assert (tmp_path / "parent" / "export" / "inner" / "table").read_text() == "new"
    assert [path.name for path in (tmp_path / "parent").iterdir()] == ["export"]


def test_a_failure_while_writing_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "export", "old")
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path / "export", "half")
    assert (tmp_path / "export" / "inner" / "table").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_the_old_folder_is_restored_after_a_kill_between_the_two_renames(tmp_path: Path) -> None:
    write(tmp_path / "export", "old")
    (tmp_path / "export").rename(set_aside_name(tmp_path / "export"))
    with pytest.raises(OSError, match="no space left"):
        write(tmp_path / "export", "half")
    assert (tmp_path / "export" / "inner" / "table").read_text() == "old"


@pytest.mark.parametrize("is_folder", [True, False])
def test_anything_else_is_refused_by_the_callers_error_and_name(tmp_path: Path, is_folder: bool) -> None:
    precious = tmp_path / "precious"
    if is_folder:
        precious.mkdir()
    else:
        precious.write_text("years of work")
    with pytest.raises(ContentError, match="precious exists and is not an export"):
        write(precious, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
