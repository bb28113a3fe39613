"""Texts to search, as blocks of rows that stay as long as their texts do."""

from collections.abc import Sequence

from clairo_core.selection import item_search


class Blocks:
    """Rows of which each block is a tuple."""

    def __init__(self, texts: Sequence[str], before: "Blocks | None" = None) -> None:
        size = item_search.ROWS_PER_BLOCK
        self.blocks = [tuple(texts[start : start + size]) for start in range(0, len(texts), size)]
        for number, (old, new) in enumerate(zip(before.blocks if before else [], self.blocks, strict=False)):
            self.blocks[number] = old if old == new else new

    def version_of(self, block: int) -> object:
        return self.blocks[block]

    def texts_of(self, rows: range) -> Sequence[str]:
        size = item_search.ROWS_PER_BLOCK
        return [self.blocks[row // size][row % size] for row in rows]
