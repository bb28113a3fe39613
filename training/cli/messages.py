"""Print messages and expected errors to stderr. Start at `run_command`."""

import sys
from collections.abc import Callable

from clairo_core.errors import ClairoError, missing_extra
from clairo_core.storage.failed_write import failed_write


def report(message: str) -> None:
    """Print a message to stderr, above any progress bar."""
    from tqdm import tqdm  # noqa: PLC0415 - only needed once there is a message

    tqdm.write(message, file=sys.stderr)


def run_command(command: Callable[[], None]) -> None:
    """Print expected errors, a full disk included, on one line and exit with code 2; Ctrl-C exits with 130."""
    try:
        command()
    except ClairoError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to resume", code=130)
    except ModuleNotFoundError as error:
        reason = missing_extra("clairo-train", "train", error)
        if reason is None:
            raise
        _fail(reason)
    except Exception as error:
        failed = error if isinstance(error, OSError) else failed_write(error)
        if failed is None:
            raise
        place = failed.filename or "file system"
        _fail(f"{place}: {failed.strerror or failed}; free space or correct the permissions, then run again")


def _fail(message: str, code: int = 2) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
