"""The training's users in a bundle, kept only where its owner asked for it: ids, newest items, disliked items.

A service then knows a user of the training before he sends feedback. Start at `keep_users`; `load_users` reads.
"""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from clairo_core.errors import BundleError, DatasetError
from clairo_core.sequences import ItemSequences
from clairo_core.storage.array_folder import ArrayFolder, load_array_folder, save_array_folder
from clairo_core.values.ids import is_anonymous_user_id

USERS_FOLDER = "users"
MAX_KEPT_ITEMS = 1000
"""The newest ones; as many as the service reads from feedback."""
_PART, _KIND = "users", "newest-items"


@dataclass(frozen=True, slots=True, eq=False)
class BundleUsers:
    """Users in ascending order of their ids; items are rows of the bundle's catalogue."""

    user_ids: tuple[str, ...]
    newest: ItemSequences
    """Oldest first."""
    disliked: ItemSequences | None = None
    """None if the training had no dislikes."""

    def find_row(self, user_id: str) -> int | None:
        """The row of a user, or None."""
        row = bisect.bisect_left(self.user_ids, user_id)
        return row if row < len(self.user_ids) and self.user_ids[row] == user_id else None

    def disliked_of(self, row: int) -> Int32[np.ndarray, "disliked"]:
        """Rows of the items that the user in this row dislikes."""
        return np.zeros(0, np.int32) if self.disliked is None else self.disliked[row]

    def save(self, folder: Path) -> None:
        """Write the folder."""
        arrays = {"items": self.newest.items, "offsets": self.newest.offsets}
        if self.disliked is not None:
            arrays |= {"disliked_items": self.disliked.items, "disliked_offsets": self.disliked.offsets}
        save_array_folder(folder, _PART, _KIND, arrays, {"user_ids": self.user_ids})


NO_USERS = BundleUsers((), ItemSequences.from_lists([]))


def keep_users(user_ids: Sequence[str], sequences: ItemSequences, disliked: ItemSequences | None = None) -> BundleUsers:
    """Sort users by id, and keep each one's newest items. Sessions of visitors who are not signed in are left out.

    Args:
        user_ids: of the training.
        sequences: each user's items, oldest first, as catalogue rows.
        disliked: each user's disliked items.
    """
    named = [row for row, user_id in enumerate(user_ids) if not is_anonymous_user_id(user_id)]
    order = sorted(named, key=user_ids.__getitem__)
    in_order = sequences.select(np.array(order, dtype=np.int64))
    from_end = np.repeat(in_order.offsets[1:], in_order.lengths) - np.arange(len(in_order.items))
    newest = ItemSequences.from_lengths(
        in_order.items[from_end <= MAX_KEPT_ITEMS], np.minimum(in_order.lengths, MAX_KEPT_ITEMS)
    )
    return BundleUsers(
        tuple(user_ids[row] for row in order),
        newest,
        None if disliked is None else disliked.select(np.array(order, dtype=np.int64)),
    )


def load_users(folder: Path, num_items: int) -> BundleUsers:
    """Read the users of a bundle of `num_items` items; none if it keeps none.

    Raises:
        BundleError: the folder is damaged, or does not fit the bundle.
    """
    if not folder.is_dir():
        return NO_USERS
    stored = load_array_folder(folder, _PART, _KIND, BundleError)
    user_ids = stored.texts("user_ids")
    newest = _sequences(stored, "items", "offsets", len(user_ids), num_items)
    disliked = None
    if "disliked_items" in stored.arrays:
        disliked = _sequences(stored, "disliked_items", "disliked_offsets", len(user_ids), num_items)
    if any(first >= second for first, second in itertools.pairwise(user_ids)):
        raise BundleError(f"{folder}: user ids are not in ascending order; copy the bundle again")
    return BundleUsers(user_ids, newest, disliked)


def _sequences(stored: ArrayFolder, items: str, offsets: str, num_users: int, num_items: int) -> ItemSequences:
    place = stored.header_path.parent
    try:
        sequences = ItemSequences(stored.mapped(items, np.int32, [None]), stored.mapped(offsets, np.int64, [None]))
    except DatasetError as error:
        raise BundleError(f"{place}: {items} do not fit {offsets} ({error}); copy the bundle again") from error
    if len(sequences) != num_users or int(sequences.items.max(initial=0)) >= max(1, num_items):
        raise BundleError(
            f"{place}: {len(sequences)} sequences of {num_users} users, items up to row "
            f"{int(sequences.items.max(initial=0))} of {num_items}; copy the bundle again"
        )
    return sequences
