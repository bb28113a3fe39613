"""Find the row of a key in a table that only grows, shared by all versions of the table."""

import threading
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class RowIndex(Generic[Key]):
    """Key -> row for the first `size` rows of a table without repeated keys.

    Versions of one table share a dictionary: a longer version writes its keys there, and an older one ignores rows past
    its own size. Adding to a million rows copies nothing, and readers never wait.
    """

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        keys = list(keys)
        self._row_of: dict[Key, int] = dict(zip(keys, range(len(keys)), strict=True))
        if len(self._row_of) < len(keys):
            self._row_of = {}
            for key in keys:
                # A repeated key keeps its first row; the owner sees `size` fall short of the table.
                self._row_of.setdefault(key, len(self._row_of))
        self.size = len(self._row_of)
        self._growing = threading.Lock()

    def get(self, key: Key) -> int | None:
        """The key's row, or None."""
        row = self._row_of.get(key)
        return row if row is not None and row < self.size else None

    def __contains__(self, key: Key) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return self.size

    def with_replaced(self, new_key_of: Mapping[Key, Key]) -> "RowIndex[Key]":
        """A version in which other keys lead to the same rows: a copy. New keys may be ones that become free."""
        other: RowIndex[Key] = RowIndex()
        with self._growing:
            other._row_of = {key: row for key, row in self._row_of.items() if row < self.size}
        rows = {new_key: other._row_of.pop(old_key) for old_key, new_key in new_key_of.items()}
        other._row_of.update(rows)
        other.size = self.size
        return other

    def with_keys(self, keys: Sequence[Key]) -> "RowIndex[Key]":
        """A version with one more row per key; keys must be new and distinct."""
        longer: RowIndex[Key] = RowIndex()
        longer.size = self.size + len(keys)
        with self._growing:
            if len(self._row_of) == self.size:
                longer._row_of = self._row_of
                longer._growing = self._growing
            else:
                # Another version has already grown from this one: its rows are not ours.
                longer._row_of = {known: row for known, row in self._row_of.items() if row < self.size}
            longer._row_of.update(zip(keys, range(self.size, longer.size), strict=True))
        return longer
