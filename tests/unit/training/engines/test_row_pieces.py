"""Pieces of a matrix: all rows, in order."""

import numpy as np

from training.engines.row_pieces import row_pieces


def test_pieces_hold_all_rows_in_order_and_long_rows_alone() -> None:
    pieces = list(row_pieces(np.array([2, 3, 1, 9, 0, 5]), 5))
    assert pieces == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 6)]


def test_no_rows_are_no_pieces() -> None:
    assert list(row_pieces(np.zeros(0, dtype=np.int64), 5)) == []
