"""Find the rows whose text contains words, newest first, or has words like them. Start at `TextSearch.rows_with`.

Exact for substrings of any length. Texts of a block of rows lie in one run of bytes, which is searched at gigabytes per
second: a million titles take tens of milliseconds, less than intersecting the postings of common trigrams, and no
memory beyond the texts. `TextSearch.rows_like` reads a list of each block's words, made by the first such search. Of
rows as they were when a `SearchIndex` was written, both are read from there.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from clairo_core.selection.search_index import SearchIndex, encoded_text
from clairo_core.selection.similar_words import Words, WordsOfRows, is_of_letters, max_edits, places_like

ROWS_PER_BLOCK = 1024
_BLOCKS_WITHOUT_WORDS = 16
"""Searched before all words are read for the blocks that may contain one: most searches end earlier."""


class SearchedRows(Protocol):
    """A version of rows that grow and change; read in any thread."""

    def version_of(self, block: int) -> object:
        """The same object for two versions only if no text of this block's `ROWS_PER_BLOCK` rows differs."""

    def texts_of(self, rows: range) -> Sequence[str]:
        """Texts of consecutive rows. Words are matched as they are, so case is folded on both sides."""


class TextSearch:
    """Texts of one version of rows. What was read of one version serves the others where the texts are the same."""

    def __init__(self, rows: SearchedRows, index: SearchIndex | None = None) -> None:
        """`index` is of this version of the rows."""
        self._rows = rows
        self._read = _Read()
        if index is not None:
            num_blocks = -(-index.num_rows // ROWS_PER_BLOCK)
            self._read.indexed = _Indexed(index, [rows.version_of(number) for number in range(num_blocks)])
            self._read.words = Words(index.words)

    def of(self, rows: SearchedRows) -> "TextSearch":
        """The search of another version of these rows."""
        other = TextSearch(rows)
        other._read = self._read
        return other

    def rows_with(self, words: Sequence[str], num_rows: int) -> Iterator[int]:
        """Rows below `num_rows` whose text contains each of the words, highest first.

        Args:
            words: without white space; all rows contain none.
            num_rows: rows that have a text.
        """
        encoded = [encoded_text(word) for word in words]
        wanted: _Wanted | None = None
        for count, (number, start, limit) in enumerate(_blocks_of(num_rows)):
            if not encoded:
                yield from reversed(range(start, start + limit))
                continue
            if count >= _BLOCKS_WITHOUT_WORDS:
                wanted = wanted or self._wanted(words)
                if not self._may_have(wanted, number, limit):
                    continue
            for place in self._block(number, limit).places_with(encoded, limit):
                yield start + place

    def rows_like(
        self, words: Sequence[str], num_rows: int
    ) -> tuple[Int64[np.ndarray, "found"], UInt8[np.ndarray, "found"]]:
        """Rows below `num_rows` that do not contain all words, but similar ones in place of those that they lack.

        A word of letters alone may differ by one edit, from eight letters on by two; others must be contained.

        Returns:
            Rows, and the number of edits of all words: fewest first, then highest row first.
        """
        exact = [encoded_text(word) for word in words if not max_edits(word)]
        mistyped = [word for word in words if max_edits(word)]
        blocks = list(_blocks_of(num_rows)) if mistyped else []
        not_indexed = [block for block in blocks if not self._is_indexed(block[0])]
        words_of = [self._words_of(number, limit) for number, _, limit in not_indexed]
        similar = [self._read.words.similar_to(word) for word in mistyped]
        rows, edits = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.uint8)]
        if self._read.indexed is not None and mistyped:
            places, of_places = places_like(self._read.indexed.index.words_of, similar, num_rows)
            in_indexed = np.isin(places // ROWS_PER_BLOCK, [block[0] for block in not_indexed], invert=True)
            rows.append(places[in_indexed])
            edits.append(of_places[in_indexed])
        for (_, start, limit), of_rows in zip(not_indexed, words_of, strict=True):
            places, of_places = places_like(of_rows, similar, limit)
            rows.append(start + places)
            edits.append(of_places)
        all_rows, all_edits = np.concatenate(rows), np.concatenate(edits)
        if exact:
            have_all = np.isin(all_rows, self._rows_among(all_rows, exact, num_rows))
            all_rows, all_edits = all_rows[have_all], all_edits[have_all]
        best_first = np.lexsort((-all_rows, all_edits))
        return all_rows[best_first], all_edits[best_first]

    def _wanted(self, words: Sequence[str]) -> "_Wanted":
        numbers = [self._read.words.containing(word) for word in words if is_of_letters(word)]
        indexed = self._read.indexed
        return _Wanted(numbers, None if indexed is None else indexed.index.blocks_with(numbers, ROWS_PER_BLOCK))

    def _may_have(self, wanted: "_Wanted", number: int, num_rows: int) -> bool:
        """Whether a block may have a row with all wanted words; true while its words have not been read."""
        if wanted.indexed_blocks is not None and self._is_indexed(number):
            return bool(wanted.indexed_blocks[number])
        of_rows = self._read_words(number, num_rows)
        return of_rows is None or all(map(of_rows.has_any, wanted.numbers))

    def _rows_among(
        self, rows: Int64[np.ndarray, "row"], words: Sequence[bytes], num_rows: int
    ) -> Int64[np.ndarray, "found"]:
        """Rows of the same blocks, below `num_rows`, whose text contains each of the words."""
        found = [np.zeros(0, dtype=np.int64)]
        for number in np.unique(rows // ROWS_PER_BLOCK).tolist():
            start = number * ROWS_PER_BLOCK
            limit = min(ROWS_PER_BLOCK, num_rows - start)
            places = list(self._block(number, limit).places_with(words, limit))
            found.append(start + np.array(places, dtype=np.int64))
        return np.concatenate(found)

    def _is_indexed(self, number: int) -> bool:
        """Whether the block's rows are as in the index."""
        indexed = self._read.indexed
        return (
            indexed is not None
            and number < len(indexed.versions)
            and indexed.versions[number] is self._rows.version_of(number)
        )

    def _block(self, number: int, num_rows: int) -> "_Block":
        """The texts of a block of at least `num_rows` rows."""
        first = number * ROWS_PER_BLOCK
        if (indexed := self._read.indexed) is not None and self._is_indexed(number):
            # Not kept: the file is in memory already, and a short copy is soon made.
            return _Block(*indexed.index.texts_in(range(first, min(first + ROWS_PER_BLOCK, indexed.index.num_rows))))
        version = self._rows.version_of(number)
        of_version = self._read.blocks.get(number)
        if of_version is not None and of_version[0] is version and len(of_version[1].starts) >= num_rows:
            return of_version[1]
        block = _block_of(self._rows.texts_of(range(first, first + num_rows)))
        self._read.blocks[number] = version, block
        return block

    def _words_of(self, number: int, num_rows: int) -> WordsOfRows:
        """The words of a block of at least `num_rows` rows."""
        of_rows = self._read_words(number, num_rows)
        if of_rows is None:
            version = self._rows.version_of(number)
            of_rows = self._read.words.of_rows(self._block(number, num_rows).all_texts())
            self._read.words_of[number] = version, of_rows
        return of_rows

    def _read_words(self, number: int, num_rows: int) -> WordsOfRows | None:
        """The words of a block of at least `num_rows` rows, if they have been read."""
        version, of_rows = self._read.words_of.get(number, (None, None))
        is_current = version is self._rows.version_of(number) and of_rows is not None and of_rows.num_rows >= num_rows
        return of_rows if is_current else None


@dataclass(eq=False)
class _Read:
    """What has been read: by block, with the version that it was read of."""

    blocks: "dict[int, tuple[object, _Block]]" = field(default_factory=dict)
    words_of: dict[int, tuple[object, WordsOfRows]] = field(default_factory=dict)
    words: Words = field(default_factory=Words)
    indexed: "_Indexed | None" = None


@dataclass(frozen=True, eq=False)
class _Wanted:
    """Words that rows must contain."""

    numbers: Sequence[Int32[np.ndarray, "found"]]
    """For each word of letters, the words that contain it."""
    indexed_blocks: Bool[np.ndarray, "block"] | None
    """Blocks of the index that have one of each; None without an index."""


@dataclass(frozen=True, eq=False)
class _Indexed:
    """Rows as they were when the index was written."""

    index: SearchIndex
    versions: Sequence[object]
    """By block."""


def _blocks_of(num_rows: int) -> Iterator[tuple[int, int, int]]:
    """Number, first row and number of rows of each block, highest first."""
    for number in reversed(range(-(-num_rows // ROWS_PER_BLOCK))):
        start = number * ROWS_PER_BLOCK
        yield number, start, min(ROWS_PER_BLOCK, num_rows - start)


@dataclass(frozen=True, slots=True)
class _Block:
    """Texts of consecutive rows, one after the other."""

    texts: bytes
    """Separated by line breaks, which no word contains: no match reaches into another text."""
    starts: Sequence[int]

    def places_with(self, words: Sequence[bytes], num_rows: int) -> Iterator[int]:
        """Places below `num_rows` whose text contains each of the words, highest first."""
        end = self._end_of(num_rows - 1)
        while (found := self.texts.rfind(words[0], 0, end)) >= 0:
            place = bisect_right(self.starts, found) - 1
            start, end_of_text = self.starts[place], self._end_of(place)
            end = start
            for word in words[1:]:
                # Absent from this text: none after its last occurrence before has all words.
                nearest = self.texts.rfind(word, 0, end_of_text)
                if nearest < start:
                    end = 0 if nearest < 0 else self._end_of(bisect_right(self.starts, nearest) - 1)
                    break
            else:
                yield place

    def all_texts(self) -> list[str]:
        """Each row's text."""
        ends = range(len(self.starts))
        return [
            self.texts[start : self._end_of(place)].decode("utf-8", "surrogatepass")
            for place, start in zip(ends, self.starts, strict=True)
        ]

    def _end_of(self, place: int) -> int:
        return self.starts[place + 1] if place + 1 < len(self.starts) else len(self.texts)


def _block_of(texts: Sequence[str]) -> _Block:
    encoded = [encoded_text(text) + b"\n" for text in texts]
    starts = [0]
    for text in encoded[:-1]:
        starts.append(starts[-1] + len(text))
    return _Block(b"".join(encoded), starts)
