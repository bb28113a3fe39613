"""Write a file aside and rename it: after a kill there is the old file or the new one, never half of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clairo_core.storage.failed_write import naming_failed_writes


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Give a path to write to. It replaces `path` when the block ends, and is removed if the block raises.

    Raises:
        OSError: a write failed, by whatever library; the error names the file.
    """
    aside = path.with_name(path.name + ".tmp")
    try:
        with naming_failed_writes(aside):
            yield aside
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    aside.replace(path)


def replace_text(path: Path, text: str) -> None:
    """Replace a file by UTF-8 text."""
    with replaced_file(path) as aside:
        aside.write_text(text, encoding="utf-8")
