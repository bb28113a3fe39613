"""Name the file that could not be written, whatever library wrote it. Start at `naming_failed_writes`.

Safetensors, torch and NumPy report a full disk by errors of their own. None names the file, and some not the cause.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clairo_core.errors import ClairoError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CAUSES = _FULL | {errno.EROFS, errno.EIO}
_CAUSE_IN_TEXT = re.compile(r"\((?:os )?error (\d+)\)|\[errno (\d+)\]", re.IGNORECASE)
_SHORT_WRITE_OF_NUMPY = re.compile(r"\d+ requested and \d+ written")
_PROBE_BYTES = 1024 * 1024


@contextmanager
def naming_failed_writes(place: Path) -> Iterator[None]:
    """Raise an `OSError` that names `place` if a write in the block fails.

    `place` is a folder, or a file that a failure makes worthless: to find the cause, bytes may be appended to it.
    """
    try:
        yield
    except Exception as error:
        failed = failed_write(error, place)
        if failed is None:
            raise
        raise failed from error


def failed_write(error: Exception, place: Path | None = None) -> OSError | None:
    """The failed write behind an error, named by its place; None if it is another error, or names a file already."""
    if isinstance(error, ClairoError) or (isinstance(error, OSError) and error.filename is not None):
        return None
    number = _cause(error, place)
    return OSError(number, os.strerror(number), place and str(place)) if number in _CAUSES else None


def _cause(error: Exception, place: Path | None) -> int:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _CAUSE_IN_TEXT.search(str(error))
    if found is not None:
        return int(found[1] or found[2])
    # Torch and NumPy leave out the cause: ask the file system.
    has_no_cause = isinstance(error, RuntimeError) or _SHORT_WRITE_OF_NUMPY.fullmatch(str(error))
    return _cause_now(place) if has_no_cause and place is not None else 0


def _cause_now(place: Path) -> int:
    """Write behind the end of the file, or into the folder. Return the error's number; 0 unless there is no room."""
    probe = place if place.is_file() else (place if place.is_dir() else place.parent) / ".probe"
    try:
        with probe.open("ab") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno if error.errno in _FULL else 0
    finally:
        if probe != place:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
    return 0
