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

_CAUSES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
_CAUSE_IN_TEXT = re.compile(r"\((?:os )?error (\d+)\)|\[errno (\d+)\]", re.IGNORECASE)
_PROBE_BYTES = 1024 * 1024


@contextmanager
def naming_failed_writes(place: Path) -> Iterator[None]:
    """Raise an `OSError` that names `place`, a file or a folder, if a write in the block fails."""
    try:
        yield
    except Exception as error:
        failed = failed_write(error, place)
        if failed is None:
            raise
        raise failed from error


def failed_write(error: Exception, place: Path) -> OSError | None:
    """The failed write behind an error, named by its place; None if it is another error, or names a file already."""
    if isinstance(error, ClairoError):
        return None
    if isinstance(error, OSError):
        if error.filename is not None:
            return None
        return OSError(error.errno or errno.EIO, error.strerror or str(error), str(place))
    found = _CAUSE_IN_TEXT.search(str(error))
    if found is not None:
        number = int(found[1] or found[2])
    else:
        # Torch's errors have no cause: ask the file system.
        number = _cause_now(place) if isinstance(error, RuntimeError) else 0
    return OSError(number, os.strerror(number), str(place)) if number in _CAUSES else None


def _cause_now(place: Path) -> int:
    """Write behind the end of the file, or into the folder, and return the error's number; 0 if there is none."""
    probe = place if place.is_file() else (place if place.is_dir() else place.parent) / ".probe"
    try:
        with probe.open("ab") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        if probe != place:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
    return 0
