"""Find users that are probably one under two ids, and files without common users. Start at `compare_user_ids`."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, slots=True)
class UserIds:
    """What the ids of users look like across files."""

    alike: int
    """Ids that differ from another only by spaces at the ends, case, or a trailing `.0`."""
    have_strangers: bool
    """There are several files, and one of them shares no user with any other."""


def compare_user_ids(columns: Sequence[pa.ChunkedArray]) -> UserIds:
    """Compare the columns of users, one per file.

    >>> compare_user_ids([pa.chunked_array([["7", "ann"]]), pa.chunked_array([["7.0", "Ann "]])])
    UserIds(alike=2, have_strangers=True)
    """
    of_files = [_distinct(column) for column in columns]
    every = pc.unique(pa.chunked_array(of_files, pa.large_string()))
    plain = pc.utf8_lower(pc.replace_substring_regex(pc.utf8_trim_whitespace(every), r"\.0$", ""))
    shares = [
        any(pc.any(pc.is_in(ids, value_set=others)).as_py() for place, others in enumerate(of_files) if place != own)
        for own, ids in enumerate(of_files)
    ]
    return UserIds(len(every) - len(pc.unique(plain)), len(of_files) > 1 and not all(shares))


def _distinct(column: pa.ChunkedArray) -> pa.LargeStringArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pc.unique(column).cast(pa.large_string()).drop_null()
