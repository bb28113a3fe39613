"""Recommend part by part, and join the parts into one file. Start at `write_lists`."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from clairo_core.progress import Progress
from clairo_core.values.counted import counted
from training.recommending.parts_folder import PartsFolder
from training.recommending.recommendations_file import RankedList, table_of, write_tables

USERS_PER_PART = 1024
"""Bounds the work that a kill loses; requests of one part are answered together."""

Recommend = Callable[[Sequence[int]], Sequence[RankedList]]
"""Places of some users -> their lists, in order."""


def write_lists(
    out: Path,
    parts: PartsFolder,
    user_ids: Sequence[str],
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
        user_ids: of all users, in the order of the parts.
        recommend: gets the places of up to `USERS_PER_PART` users in `user_ids`.
        started_at: of the command, by `time.monotonic`.
        progress: over users.
        report: gets one line if a run resumes.

    Raises:
        OSError: a file cannot be written.
    """
    num_users = len(user_ids)
    num_before = min(num_users, parts.num_parts * USERS_PER_PART)
    if num_before:
        report(f"resuming after {num_before:,} of {counted(num_users, 'user')}, of an earlier run in {parts.folder}")
    begun, waiting = time.monotonic(), []
    for number in progress(range(num_before, num_users), "recommending", num_users - num_before):
        waiting.append(number)
        if len(waiting) == USERS_PER_PART or number == num_users - 1:
            table = table_of([user_ids[one] for one in waiting], recommend(waiting))
            parts.write(waiting[0] // USERS_PER_PART, table)
            waiting = []
    rate = (num_users - num_before) / max(time.monotonic() - begun, 1e-9)
    num_rows = write_tables(out, parts.read())
    parts.remove()
    return (
        f"{out}: {counted(num_users, 'user')}, {counted(num_rows, 'row')}, in {time.monotonic() - started_at:.0f} s "
        f"({rate:,.0f} users per second while recommending)"
    )
