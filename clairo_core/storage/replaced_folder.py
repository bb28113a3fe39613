"""Write a folder aside and rename it: after a kill there is the old folder or the new one, never half of one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clairo_core.errors import ClairoError
from clairo_core.storage.failed_write import naming_failed_writes


@contextmanager
def replaced_folder(folder: Path, *, marker: str, expected: str, error: type[ClairoError]) -> Iterator[Path]:
    """Give a new, empty folder to fill. It replaces `folder` when the block ends and everything is on disk.

    The new folder is removed if the block raises. Only a kill between two renames leaves nothing at `folder`; the old
    one is then beside it, and the next write restores it first.

    Args:
        folder: where the result belongs.
        marker: a file that every folder which may be replaced holds.
        expected: names such a folder, with its article: "a bundle".
        error: raised for anything else at `folder`.

    Raises:
        error: `folder` exists without the marker.
        OSError: a write failed, by whatever library; the error names the folder.
    """
    aside = folder.with_name(f".{folder.name}.writing")
    replaced = set_aside_name(folder)
    if replaced.exists() and not folder.exists():
        replaced.rename(folder)
    if folder.exists() and not (folder / marker).is_file():
        raise error(f"{folder} exists and is not {expected} ({marker} is missing); name another folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        with naming_failed_writes(aside):
            yield aside
            _flush_tree(aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    aside.rename(folder)
    _flush(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def set_aside_name(folder: Path) -> Path:
    """Where the old folder stands while a new one takes its place."""
    return folder.with_name(f".{folder.name}.replaced")


def _flush_tree(folder: Path) -> None:
    """Wait until the folder, and every file and folder below it, is on disk."""
    for path in [*folder.rglob("*"), folder]:
        _flush(path)


def _flush(path: Path) -> None:
    """Wait until a file's content, or a folder's own entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
