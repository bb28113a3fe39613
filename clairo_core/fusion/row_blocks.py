"""Cut many rows into blocks, so that intermediate results of a million items take the memory of one block."""

ROWS_AT_ONCE = 1 << 17


def row_blocks(num_rows: int) -> list[slice]:
    """Consecutive blocks of at most `ROWS_AT_ONCE` rows; one for fewer rows, so that its sums stay the same.

    >>> row_blocks(ROWS_AT_ONCE + 1)
    [slice(0, 131072, None), slice(131072, 131073, None)]
    """
    return [slice(start, min(start + ROWS_AT_ONCE, num_rows)) for start in range(0, num_rows, ROWS_AT_ONCE)]
