"""Find the words of texts that a mistyped word may mean. Start at `Words.similar_to`.

Similar is by edits: a letter added, left out, replaced, or swapped with the next one. Trigrams in common would miss
common errors: "teaopt" shares 3 of 11 with "teapot", as many as other words do.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, Integer, UInt8
from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

_WORD = re.compile(r"[^\W\d_]{3,}")
"""Letters: another digit makes another number, not a mistyped one."""
_END_OF_TEXT = "\0"
_WORD_OR_END = re.compile(rf"{_WORD.pattern}|{_END_OF_TEXT}")
_ONE_EDIT_FROM, _TWO_EDITS_FROM = 4, 8


def is_of_letters(word: str) -> bool:
    """Whether it is a word that texts are searched for as such: three letters or more, and nothing else."""
    return _WORD.fullmatch(word) is not None


def max_edits(word: str) -> int:
    """Number of typing errors that a word may have: none in short ones, and in those with other signs than letters.

    >>> max_edits("mug"), max_edits("teaopt"), max_edits("umbrlela"), max_edits("teapot-0001")
    (0, 1, 2, 0)
    """
    if len(word) < _ONE_EDIT_FROM or not is_of_letters(word):
        return 0
    return 1 if len(word) < _TWO_EDITS_FROM else 2


class Words:
    """The distinct words of many texts, numbered. A word stays when no text has it any more. Thread-safe."""

    def __init__(self, words: Sequence[str] = ()) -> None:
        """`words` have the numbers from 1 on."""
        self._number_of = _Numbers(zip((_END_OF_TEXT, *words), range(len(words) + 1), strict=True))
        self._growing = threading.Lock()

    def of_rows(self, texts: Sequence[str]) -> "WordsOfRows":
        """Number the words of consecutive rows' texts, which are case folded; new words get the next numbers."""
        found = _WORD_OR_END.findall("".join(text.replace(_END_OF_TEXT, " ") + _END_OF_TEXT for text in texts))
        with self._growing:
            numbers = np.fromiter(map(self._number_of.__getitem__, found), dtype=np.int32, count=len(found))
        is_word = numbers > 0
        places = np.cumsum(~is_word, dtype=np.int32)[is_word].astype(np.uint16)
        numbers = numbers[is_word]
        in_order = np.argsort(numbers, kind="stable")
        distinct, starts = np.unique(numbers[in_order], return_index=True)
        return WordsOfRows(distinct, np.append(starts, len(numbers)), places[in_order], len(texts))

    def containing(self, word: str) -> Int32[np.ndarray, "found"]:
        """Numbers, ascending, of the words that contain this one."""
        return np.array([number for number, other in enumerate(self._numbered()) if word in other], dtype=np.int32)

    def similar_to(self, word: str) -> tuple[Int32[np.ndarray, "found"], UInt8[np.ndarray, "found"]]:
        """Numbers, ascending, of the words that contain this one or are within `max_edits`, and the edits of each."""
        within = extract(word, self._numbered(), scorer=OSA.distance, score_cutoff=max_edits(word), limit=None)
        edits_of = {number: int(edits) for _, edits, number in within}
        edits_of |= dict.fromkeys(self.containing(word).tolist(), 0)
        numbers = sorted(edits_of)
        edits = [edits_of[number] for number in numbers]
        return np.array(numbers, dtype=np.int32), np.array(edits, dtype=np.uint8)

    def all(self) -> list[str]:
        """In the order of their numbers; the first has number 1."""
        return self._numbered()[1:]

    def _numbered(self) -> list[str]:
        with self._growing:
            return list(self._number_of)


class _Numbers(dict[str, int]):
    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


NOT_FOUND = 255
"""More edits than any word may have."""


@dataclass(frozen=True, slots=True)
class WordsOfRows:
    """Which of consecutive rows have which words."""

    numbers: Int32[np.ndarray, "word"]
    """Ascending."""
    starts: Int64[np.ndarray, "word+1"]
    places: Integer[np.ndarray, "occurrence"]
    """Rows of each word, counted from the first one."""
    num_rows: int

    def has_any(self, numbers: Int32[np.ndarray, "found"]) -> bool:
        """Whether a row has one of these words."""
        return bool(len(self._found(numbers)[0]))

    def edits_to(
        self, numbers: Int32[np.ndarray, "found"], edits: UInt8[np.ndarray, "found"]
    ) -> UInt8[np.ndarray, "row"] | None:
        """The fewest edits to a word of each row; `NOT_FOUND` in rows without any of them; None if all are."""
        found, at = self._found(numbers)
        if not len(found):
            return None
        fewest = np.full(self.num_rows, NOT_FOUND, dtype=np.uint8)
        # Fewer edits are written over more.
        for place in np.argsort(-edits[found].astype(np.int64), kind="stable").tolist():
            fewest[self.places[self.starts[at[place]] : self.starts[at[place] + 1]]] = edits[found[place]]
        return fewest

    def _found(
        self, numbers: Int32[np.ndarray, "found"]
    ) -> tuple[Int64[np.ndarray, "here"], Int64[np.ndarray, "here"]]:
        """Places in `numbers` of the words that a row has, and their places in `self.numbers`."""
        if not len(self.numbers):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        found = np.flatnonzero(self.numbers[at] == numbers)
        return found, at[found]


def places_like(
    of_rows: WordsOfRows,
    similar: Sequence[tuple[Int32[np.ndarray, "found"], UInt8[np.ndarray, "found"]]],
    num_rows: int,
) -> tuple[Int64[np.ndarray, "found"], UInt8[np.ndarray, "found"]]:
    """Places below `num_rows` that have a word of each of these lists, not all of them without edits.

    Args:
        of_rows: rows, and their words.
        similar: by searched word, what `Words.similar_to` returns.
        num_rows: rows to look at.

    Returns:
        Places, ascending, and the edits of all words.
    """
    each = [of_rows.edits_to(*of_word) for of_word in similar]
    found = [fewest[:num_rows] for fewest in each if fewest is not None]
    if not each or len(found) < len(each):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    is_like = np.max(found, axis=0) < NOT_FOUND
    total = np.asarray(np.sum(found, axis=0, dtype=np.uint8))
    places = np.flatnonzero(is_like & (total > 0))
    return places, total[places]
