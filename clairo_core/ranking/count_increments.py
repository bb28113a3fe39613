"""Count what users have done since training: interactions, users, followers and pairs by item.

The counts are those of training, so both add up. Start at `increments_of`.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import sparse

FOLLOWERS_WITHIN = 10
"""An item follows the items of so many earlier places; d places apart counts 1/d."""
MAX_PAIRED_ITEMS = 100
"""An item is paired with so many items of its user, the newest: bounds the cost of one event."""


@dataclass(frozen=True, slots=True, eq=False)
class UserActions:
    """A user's positive events, in order of arrival."""

    item_rows: Int64[np.ndarray, "event"]
    weights: Float64[np.ndarray, "event"]
    """By type, above 0."""
    is_read: Bool[np.ndarray, "event"]
    """Whether histories hold the event. Others count towards users alone."""
    num_counted: int
    """The first events are in the counts already."""


@dataclass(frozen=True, slots=True, eq=False)
class CountIncrements:
    """What new events add to the counts, by catalogue row."""

    interactions: Int64[np.ndarray, "item"]
    users: Float64[np.ndarray, "item"]
    """Each user once, by the weight of his heaviest event."""
    followers: sparse.csr_matrix
    """How often the column's item followed the row's; see `FOLLOWERS_WITHIN`."""
    together: sparse.csr_matrix
    """How many users have both items of each pair, by weight; symmetric, zero on the diagonal."""

    def plus(self, later: "CountIncrements") -> "CountIncrements":
        """The sum of both; `later` may be of a catalogue that has grown."""
        num_items = len(later.interactions)
        return CountIncrements(
            padded(self.interactions, num_items) + later.interactions,
            padded(self.users, num_items) + later.users,
            (grown(self.followers, num_items) + later.followers).tocsr(),
            (grown(self.together, num_items) + later.together).tocsr(),
        )


def increments_of(actions: Iterable[UserActions], num_items: int) -> CountIncrements:
    """Count the new events of some users, each user given once.

    However events are split into calls, the increments add up to the same sums, while a user has at most
    `MAX_PAIRED_ITEMS` items.

    Args:
        actions: of each user.
        num_items: rows of the catalogue.
    """
    interactions, users = np.zeros(num_items, dtype=np.int64), np.zeros(num_items)
    followers, pairs = _Entries(), _Entries()
    for of_user in actions:
        has: dict[int, float] = {}
        has_read: dict[int, float] = {}
        recent: deque[tuple[int, float]] = deque(maxlen=FOLLOWERS_WITHIN)
        events = zip(of_user.item_rows.tolist(), of_user.weights.tolist(), of_user.is_read.tolist(), strict=True)
        for place, (row, weight, is_read) in enumerate(events):
            is_new = place >= of_user.num_counted
            if is_new:
                users[row] += max(weight - has.get(row, 0.0), 0.0)
            has[row] = max(weight, has.get(row, 0.0))
            if not is_read:
                continue
            gained = weight - has_read.get(row, 0.0)
            if is_new:
                interactions[row] += 1
                for distance, (earlier, earlier_weight) in enumerate(reversed(recent), 1):
                    followers.add(earlier, row, earlier_weight * weight / distance)
            if is_new and gained > 0:
                for other, other_weight in islice(reversed(has_read.items()), MAX_PAIRED_ITEMS):
                    if other != row:
                        pairs.add(other, row, gained * other_weight)
            has_read[row] = max(weight, has_read.get(row, 0.0))
            recent.append((row, weight))
    half = pairs.matrix(num_items)
    return CountIncrements(interactions, users, followers.matrix(num_items), (half + half.T).tocsr())


class _Entries:
    """Entries of a sparse matrix; equal places add up."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._values: list[float] = []

    def add(self, row: int, column: int, value: float) -> None:
        self._rows.append(row)
        self._columns.append(column)
        self._values.append(value)

    def matrix(self, num_items: int) -> sparse.csr_matrix:
        places = (np.array(self._rows, dtype=np.int64), np.array(self._columns, dtype=np.int64))
        values = np.array(self._values, dtype=np.float32)
        return sparse.csr_matrix((values, places), shape=(num_items, num_items))


def grown(matrix: sparse.csr_matrix, num_items: int) -> sparse.csr_matrix:
    """The matrix with empty rows and columns appended, up to `num_items` of each; shares its arrays."""
    missing = num_items - matrix.shape[0]
    if missing <= 0:
        return matrix
    offsets = np.append(matrix.indptr, np.full(missing, matrix.indptr[-1], dtype=matrix.indptr.dtype))
    return sparse.csr_matrix((matrix.data, matrix.indices, offsets), shape=(num_items, num_items))


def padded(counts: np.ndarray, num_items: int) -> np.ndarray:
    """Counts of `num_items` items; those past the end are 0."""
    return np.pad(counts, (0, max(num_items - len(counts), 0)))
