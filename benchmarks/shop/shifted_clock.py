"""Run the service by a clock that can be set while it runs: `python -m benchmarks.shop.shifted_clock run ...`.

What the service reads as the time is off by the seconds that stand in the file that SHIFTED_CLOCK names: `time.time`,
and `datetime.now` of the service's own modules. A worker process imports the module that its parent was started from,
this one, before anything else, so all workers have the same clock. Knows nothing of what the service does with it.
"""

import datetime
import os
import sys
import time
from pathlib import Path
from typing import Self

from clairo_core.storage.replaced_file import replace_text
from service.cli.commands import main

FILE_VARIABLE = "SHIFTED_CLOCK"
true_time = time.time


def shift_seconds() -> float:
    """How far the clock is ahead of the true one."""
    return float(Path(os.environ[FILE_VARIABLE]).read_text(encoding="ascii"))


def shifted_time() -> float:
    """As `time.time`."""
    return true_time() + shift_seconds()


class ShiftedDatetime(datetime.datetime):
    """As `datetime.datetime`, but for what it says is now."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        """The shifted time."""
        return cls.fromtimestamp(shifted_time(), tz)


def set_clock(path: Path, seconds: float) -> None:
    """Set the clock of the services that read this file."""
    replace_text(path, str(seconds))


def shift_this_process() -> None:
    """From now on, this process reads the shifted clock."""
    time.time = shifted_time
    for name, module in list(sys.modules.items()):
        if name.startswith("service.") and getattr(module, "datetime", None) is datetime.datetime:
            module.datetime = ShiftedDatetime  # type: ignore[attr-defined]


if __name__ in ("__main__", "__mp_main__"):
    shift_this_process()

if __name__ == "__main__":
    main()
