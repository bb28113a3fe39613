"""Keep what `item_search` reads of rows: their texts, and which rows have which words. Start at `write_search_index`.

Written once with a bundle, mapped by every process that serves it: the first search of a million rows reads no item.
"""

import json
import mmap
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32, Int64

from clairo_core.attributes import texts_of
from clairo_core.errors import BundleError
from clairo_core.items import Item
from clairo_core.selection.similar_words import Words, WordsOfRows
from clairo_core.storage.array_folder import load_array_folder, save_array_folder
from clairo_core.storage.replaced_file import replaced_file

_PART, _KIND = "search", "words"
_TEXTS_FILE = "texts.bin"
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class SearchIndex:
    """Rows `0..num_rows`. Immutable."""

    texts: bytes | mmap.mmap
    """Of all rows, each with a line break at its end, which no searched word contains."""
    starts: Int64[np.ndarray, "row+1"]
    """Of each row's text; the last one is the end."""
    words: tuple[str, ...]
    """Distinct; the first one has number 1."""
    words_of: WordsOfRows
    """Every word, and the rows that have it."""

    @property
    def num_rows(self) -> int:
        """Rows that it holds."""
        return len(self.starts) - 1

    def texts_in(self, rows: range) -> tuple[bytes, Sequence[int]]:
        """Texts of consecutive rows, one after the other, and where each starts."""
        start, end = int(self.starts[rows.start]), int(self.starts[rows.stop])
        # Not the array itself, as items of a NumPy array are slow.
        return self.texts[start:end], (self.starts[rows.start : rows.stop] - start).data

    def blocks_with(
        self, words: Sequence[Int32[np.ndarray, "number"]], rows_per_block: int
    ) -> Bool[np.ndarray, "block"]:
        """Mark the blocks in which, of each of these lists, some row has a word."""
        is_wanted = np.ones(-(-self.num_rows // rows_per_block), dtype=np.bool_)
        for numbers in words:
            has_any = np.zeros_like(is_wanted)
            for number in numbers[numbers <= len(self.words)].tolist():
                start, end = self.words_of.starts[number - 1 : number + 1]
                has_any[self.words_of.places[start:end] // rows_per_block] = True
            is_wanted &= has_any
        return is_wanted


_texts_of = lru_cache(2**16, typed=True)(texts_of)
"""Most items share their values with others."""


def search_text(item: Item) -> str:
    """What a search of an item reads: id, words and attributes, case folded."""
    attributes = (text for value in item.attributes.values() for text in _texts_of(value))
    return "\n".join([item.item_id, *item.texts.values(), *attributes]).casefold()


def encoded_text(text: str) -> bytes:
    """A text or word as searches compare it."""
    # Half a surrogate pair is legal in JSON.
    return text.encode("utf-8", "surrogatepass")


def write_search_index(folder: Path, items: Sequence[Item]) -> None:
    """Write the index of these items into `folder`, created if missing. A million take some 10 s."""
    folder.mkdir(parents=True, exist_ok=True)
    words, lengths = Words(), array("q", [0])
    numbers, rows = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int32)]
    with replaced_file(folder / _TEXTS_FILE) as aside, aside.open("wb") as file:
        for start in range(0, len(items), _ROWS_AT_ONCE):
            texts = [search_text(item) for item in items[start : start + _ROWS_AT_ONCE]]
            encoded = [encoded_text(text) + b"\n" for text in texts]
            file.write(b"".join(encoded))
            lengths.extend(map(len, encoded))
            found = words.of_rows(texts)
            numbers.append(np.repeat(found.numbers, np.diff(found.starts)))
            rows.append(start + found.places.astype(np.int32))
    of_all = np.concatenate(numbers)
    by_word = np.argsort(of_all, kind="stable")
    distinct = words.all()
    arrays: dict[str, np.ndarray] = {
        "starts": np.cumsum(np.frombuffer(lengths, dtype=np.int64)),
        "word_starts": np.searchsorted(of_all[by_word], np.arange(1, len(distinct) + 2)).astype(np.int64),
        "rows": np.concatenate(rows)[by_word],
        "words": np.frombuffer(json.dumps(distinct).encode("ascii"), dtype=np.uint8),
    }
    save_array_folder(folder, _PART, _KIND, arrays)


def load_search_index(folder: Path, num_rows: int) -> SearchIndex | None:
    """Map a written index; None in bundles of before, which have none.

    Raises:
        BundleError: a file is missing or damaged, or of other items.
    """
    if not folder.is_dir():
        return None
    saved = load_array_folder(folder, _PART, _KIND, BundleError)
    starts = saved.mapped("starts", np.int64, (num_rows + 1,))
    rows = saved.mapped("rows", np.int32, (None,))
    try:
        words = tuple(json.loads(saved.array("words", np.uint8, (None,)).tobytes()))
        with (folder / _TEXTS_FILE).open("rb") as file:
            texts = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if num_rows else b""
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(f"{folder}: cannot be read ({error}); copy the bundle again") from error
    word_starts = saved.mapped("word_starts", np.int64, (len(words) + 1,))
    if not (_ascend(starts, len(texts)) and _ascend(word_starts, len(rows)) and _are_below(rows, num_rows)):
        raise BundleError(f"{folder}: arrays do not fit each other; copy the bundle again")
    numbers = np.arange(1, len(words) + 1, dtype=np.int32)
    return SearchIndex(texts, starts, words, WordsOfRows(numbers, word_starts, rows, num_rows))


def _ascend(starts: Int64[np.ndarray, "start"], end: int) -> bool:
    return bool(starts[0] == 0 and starts[-1] == end and np.all(np.diff(starts) >= 0))


def _are_below(rows: Int32[np.ndarray, "occurrence"], num_rows: int) -> bool:
    return not len(rows) or bool(0 <= rows.min() <= rows.max() < num_rows)
