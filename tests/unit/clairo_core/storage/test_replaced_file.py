"""A file is replaced whole, or not at all."""

from pathlib import Path

import pytest

from clairo_core.storage.replaced_file import replace_text, replaced_file


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    replace_text(path, "old")
    replace_text(path, "nü")
    assert path.read_bytes() == "nü".encode()
    assert [file.name for file in tmp_path.iterdir()] == ["table.json"]


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    replace_text(path, "old")

    def fail_half_way() -> None:
        with replaced_file(path) as aside:
            aside.write_text("hal", encoding="utf-8")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail_half_way()
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.json"]


def test_a_half_written_file_of_a_killed_run_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "table.json.tmp").write_text("what a kill left", encoding="utf-8")
    replace_text(tmp_path / "table.json", "new")
    assert (tmp_path / "table.json").read_text(encoding="utf-8") == "new"
    assert not (tmp_path / "table.json.tmp").exists()
