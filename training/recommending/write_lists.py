"""Recommend part by part, and join the parts into one file. Start at `write_lists`."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from clairo_core.progress import Progress
from clairo_core.values.counted import counted
from training.recommending.parts_folder import PartsFolder
from training.recommending.recommendations_file import write_tables

USERS_PER_PART = 1024
"""Bounds the work that a kill loses; requests of one part are answered together."""

Recommend = Callable[[Sequence[range]], Iterator[pa.Table]]
"""Places of the users of some parts -> `table_of` their lists, part by part."""


def write_lists(
    out: Path,
    parts: PartsFolder,
    num_users: int,
    recommend: Recommend,
    *,
    started_at: float,
    progress: Progress[int],
    report: Callable[[str], None],
) -> str:
    """Write the lists of all users. Finished parts are not asked for again. Return a summary.

    Args:
        out: file, as `check_out` allows.
        parts: of this plan, which counts on `USERS_PER_PART`.
        num_users: in the order of the parts.
        recommend: gets the places of the users of each part left, up to `USERS_PER_PART`.
        started_at: of the command, by `time.monotonic`.
        progress: over users.
        report: gets one line if a run resumes.

    Raises:
        OSError: a file cannot be written.
    """
    num_before = min(num_users, parts.num_parts * USERS_PER_PART)
    if num_before:
        report(f"resuming after {num_before:,} of {counted(num_users, 'user')}, of an earlier run in {parts.folder}")
    begun = time.monotonic()
    left = [
        range(first, min(first + USERS_PER_PART, num_users)) for first in range(num_before, num_users, USERS_PER_PART)
    ]
    tables = recommend(left)
    for user in progress(range(num_before, num_users), "recommending", num_users - num_before):
        if (user + 1) % USERS_PER_PART == 0 or user == num_users - 1:
            parts.write(user // USERS_PER_PART, next(tables))
    rate = (num_users - num_before) / max(time.monotonic() - begun, 1e-9)
    num_rows = write_tables(out, parts.read())
    parts.remove()
    return (
        f"{out}: {counted(num_users, 'user')}, {counted(num_rows, 'row')}, in {time.monotonic() - started_at:.0f} s "
        f"({rate:,.0f} users per second while recommending)"
    )
