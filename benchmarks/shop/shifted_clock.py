"""Run the service with a clock that can be set while it runs: `python -m benchmarks.shop.shifted_clock run ...`.

`time.time`, and `datetime.now` of the service's own modules, are shifted by the seconds in the file that SHIFTED_CLOCK
names. Workers are forked from this process, or spawned, when they first import the module that it was started from.
So all share the clock.
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
    """Seconds by which the clock is ahead of the true one."""
    return float(Path(os.environ[FILE_VARIABLE]).read_text(encoding="ascii"))


def shifted_time() -> float:
    """As `time.time`."""
    return true_time() + shift_seconds()


class ShiftedDatetime(datetime.datetime):
    """As `datetime.datetime`, with a shifted `now`."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        """The shifted time."""
        return cls.fromtimestamp(shifted_time(), tz)


def set_clock(path: Path, seconds: float) -> None:
    """Set the clock of the services that read this file."""
    replace_text(path, str(seconds))


def shift_this_process() -> None:
    """Make this process read the shifted clock."""
    time.time = shifted_time
    for name, module in list(sys.modules.items()):
        if name.startswith("service.") and getattr(module, "datetime", None) is datetime.datetime:
            module.datetime = ShiftedDatetime  # type: ignore[attr-defined]


if __name__ in ("__main__", "__mp_main__"):
    shift_this_process()

if __name__ == "__main__":
    main()
