"""Number users in order of first occurrence, part by part, without holding the ids of every row.

Start at `UserNumbers.add`.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Int32

FEWEST_GATHERED = 1_000_000


class UserNumbers:
    """The ids seen so far, and the rows of each part.

    Ids of new parts are gathered until they are as many as those numbered before: the effort stays linear.
    """

    def __init__(self) -> None:
        self._ids = pa.array([], pa.large_string())
        self._gathered: list[pa.LargeStringArray] = []
        self._num_gathered = 0
        self._codes: list[Int32[np.ndarray, "row"]] = []
        """Of each part: numbers where it is numbered, places in its own ids where its ids are gathered."""

    def add(self, ids: pa.LargeStringArray, codes: Int32[np.ndarray, "row"]) -> None:
        """Add the rows of one part: places in its ids, which are distinct."""
        self._gathered.append(ids)
        self._codes.append(codes)
        self._num_gathered += len(ids)
        if self._num_gathered >= max(len(self._ids), FEWEST_GATHERED):
            self._number()

    def take(self) -> tuple[pa.LargeStringArray, Int32[np.ndarray, "row"]]:
        """All distinct ids, and the number of each row's; once, as the parts are freed."""
        self._number()
        codes = np.concatenate(self._codes) if self._codes else np.zeros(0, dtype=np.int32)
        self._codes.clear()
        return self._ids, codes

    def _number(self) -> None:
        if not self._gathered:
            return
        every = pa.chunked_array([self._ids, *self._gathered], pa.large_string()).combine_chunks().dictionary_encode()
        numbers: Int32[np.ndarray, "id"] = every.indices.to_numpy()
        start = len(self._ids)
        first_part = len(self._codes) - len(self._gathered)
        for part, ids in enumerate(self._gathered, start=first_part):
            self._codes[part] = numbers[start : start + len(ids)][self._codes[part]]
            start += len(ids)
        self._ids = every.dictionary
        self._gathered.clear()
        self._num_gathered = 0
