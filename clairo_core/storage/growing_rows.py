"""Rows of a table that only grows, shared by all versions of the table."""

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

_MIN_SPARE_ROWS = 64


@dataclass(eq=False)
class _Buffer:
    """Memory with spare rows; the first `num_rows` belong to some version."""

    array: np.ndarray[Any, Any]
    num_rows: int
    copies: "dict[torch.device, DeviceCopy]" = field(default_factory=dict)
    growing: threading.Lock = field(default_factory=threading.Lock)


class GrowingRows:
    """One version of a table's rows.

    A longer version writes its rows behind those of this one, into the same memory, where no older version reads.
    Adding to a million rows copies nothing until the spare room, an eighth, is used up; readers never wait.
    """

    def __init__(self, rows: Shaped[np.ndarray, "row ..."]) -> None:
        self._buffer = _Buffer(_with_spare_room(rows, 0), len(rows))
        self.rows: Shaped[np.ndarray, "row ..."] = self._buffer.array[: len(rows)]

    @classmethod
    def without_copy(cls, rows: Shaped[np.ndarray, "row ..."]) -> "GrowingRows":
        """Rows that nothing else changes, such as those of a mapped file: the first longer version copies them."""
        return cls._of(_Buffer(rows, len(rows)), len(rows))

    @classmethod
    def _of(cls, buffer: _Buffer, num_rows: int) -> "GrowingRows":
        of_buffer = cls.__new__(cls)
        of_buffer._buffer = buffer
        of_buffer.rows = buffer.array[:num_rows]
        return of_buffer

    def __reduce__(self) -> tuple[type["GrowingRows"], tuple[Shaped[np.ndarray, "row ..."]]]:
        """For another process: a copy, which shares nothing."""
        return GrowingRows, (self.rows,)

    def with_rows(self, added: Shaped[np.ndarray, "row ..."]) -> "GrowingRows":
        """A version with these rows behind those of this one."""
        size = len(self.rows)
        with self._buffer.growing:
            is_newest = self._buffer.num_rows == size
            if not is_newest or size + len(added) > len(self._buffer.array):
                # There is no spare room, or it holds rows of another version.
                buffer = _Buffer(_with_spare_room(self.rows, len(added)), size)
            else:
                buffer = self._buffer
            buffer.array[size : size + len(added)] = added
            buffer.num_rows += len(added)
        return GrowingRows._of(buffer, size + len(added))

    def with_replaced(
        self, places: Int[np.ndarray, "replaced"], values: Shaped[np.ndarray, "replaced ..."]
    ) -> "GrowingRows":
        """A version with other values in these rows: a copy, since older versions read theirs."""
        rows = self.rows.copy()
        rows[places] = values
        return GrowingRows(rows)

    def on(self, device: torch.device) -> Shaped[Tensor, "row ..."]:
        """These rows as a tensor: shared memory on the CPU; elsewhere each row is copied once for all versions."""
        if device.type == "cpu":
            return torch.from_numpy(self.rows)
        with self._buffer.growing:
            if device not in self._buffer.copies:
                self._buffer.copies[device] = DeviceCopy(self._buffer.array, device)
            return self._buffer.copies[device].of(self.rows)


class DeviceCopy:
    """A buffer's rows on a device; a longer version's rows follow a shorter one's."""

    def __init__(self, buffer: Shaped[np.ndarray, "capacity ..."], device: torch.device) -> None:
        """Allocate; rows are copied when first read."""
        # A tensor made in inference mode could not be written outside it.
        with torch.inference_mode(mode=False):
            self._rows = torch.empty(buffer.shape, dtype=torch.from_numpy(buffer).dtype, device=device)
        self._num_rows = 0

    def of(self, rows: Shaped[np.ndarray, "row ..."]) -> Shaped[Tensor, "row ..."]:
        """A version's rows; rows that no earlier call read are copied now."""
        if len(rows) > self._num_rows:
            self._rows[self._num_rows : len(rows)] = torch.from_numpy(rows[self._num_rows :])
            self._num_rows = len(rows)
        return self._rows[: len(rows)]


def _with_spare_room(rows: Shaped[np.ndarray, "row ..."], num_added: int) -> Shaped[np.ndarray, "capacity ..."]:
    capacity = len(rows) + num_added + max((len(rows) + num_added) // 8, _MIN_SPARE_ROWS)
    array = np.empty((capacity, *rows.shape[1:]), dtype=rows.dtype)
    array[: len(rows)] = rows
    return array
