"""Find the words of texts that a mistyped word may mean. Start at `Words.similar_to`.

Similar is by edits: a letter added, left out, replaced, or swapped with the next one. Trigrams in common would miss
common errors: "teaopt" shares 3 of 11 with "teapot", as many as other words do.
"""

import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt16
from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

_WORD = re.compile(r"[^\W\d_]{3,}")
"""Letters: another digit makes another number, not a mistyped one."""
_ONE_EDIT_FROM, _TWO_EDITS_FROM = 4, 8


def max_edits(word: str) -> int:
    """Number of typing errors that a word may have: none in short ones, and in those with other signs than letters.

    >>> max_edits("mug"), max_edits("teaopt"), max_edits("umbrlela"), max_edits("teapot-0001")
    (0, 1, 2, 0)
    """
    if len(word) < _ONE_EDIT_FROM or not _WORD.fullmatch(word):
        return 0
    return 1 if len(word) < _TWO_EDITS_FROM else 2


class Words:
    """The distinct words of many texts, numbered. A word stays when no text has it any more. Thread-safe."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}
        self._growing = threading.Lock()

    def numbers_of(self, words: Iterable[str]) -> Int32[np.ndarray, "word"]:
        """Each word's number; new words get the next ones."""
        with self._growing:
            number_of = self._number_of
            return np.array([number_of.setdefault(word, len(number_of)) for word in words], dtype=np.int32)

    def similar_to(self, word: str) -> tuple[Int32[np.ndarray, "similar"], UInt8[np.ndarray, "similar"]]:
        """Numbers, ascending, of the words that contain this one, and of those within `max_edits`; edits of each."""
        with self._growing:
            # In the order of their numbers.
            words = list(self._number_of)
        within = extract(word, words, scorer=OSA.distance, score_cutoff=max_edits(word), limit=None)
        edits_of = {number: int(edits) for _, edits, number in within}
        edits_of |= {number: 0 for number, other in enumerate(words) if word in other}
        numbers = sorted(edits_of)
        edits = [edits_of[number] for number in numbers]
        return np.array(numbers, dtype=np.int32), np.array(edits, dtype=np.uint8)


NOT_FOUND = 255
"""More edits than any word may have."""


@dataclass(frozen=True, slots=True)
class WordsOfRows:
    """Which of a few consecutive rows have which words."""

    numbers: Int32[np.ndarray, "word"]
    """Ascending."""
    starts: Int64[np.ndarray, "word+1"]
    places: UInt16[np.ndarray, "occurrence"]
    """Rows of each word, counted from the first one."""
    num_rows: int

    def edits_to(
        self, numbers: Int32[np.ndarray, "similar"], edits: UInt8[np.ndarray, "similar"]
    ) -> UInt8[np.ndarray, "row"] | None:
        """The fewest edits to a word of each row; `NOT_FOUND` in rows without any of them; None if all are."""
        at = np.searchsorted(self.numbers, numbers)
        at[at == len(self.numbers)] = 0
        found = np.flatnonzero(self.numbers[at] == numbers) if len(self.numbers) else at[:0]
        if not len(found):
            return None
        fewest = np.full(self.num_rows, NOT_FOUND, dtype=np.uint8)
        # Fewer edits are written over more.
        for place in found[np.argsort(-edits[found].astype(np.int64), kind="stable")].tolist():
            fewest[self.places[self.starts[at[place]] : self.starts[at[place] + 1]]] = edits[place]
        return fewest


def words_of_rows(texts: Sequence[str], words: Words) -> WordsOfRows:
    """Number the words of consecutive rows' texts, which are case folded."""
    found = [_WORD.findall(text) for text in texts]
    places = np.repeat(np.arange(len(texts), dtype=np.uint16), [len(of_row) for of_row in found])
    numbers = words.numbers_of(word for of_row in found for word in of_row)
    in_order = np.argsort(numbers, kind="stable")
    distinct, starts = np.unique(numbers[in_order], return_index=True)
    return WordsOfRows(distinct, np.append(starts, len(numbers)), places[in_order], len(texts))
