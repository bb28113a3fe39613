"""Search of words in texts: every substring, newest first, then similar words, while texts come and change."""

import string
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.selection import item_search
from clairo_core.selection.item_search import TextSearch
from clairo_core.selection.similar_words import max_edits
from tests.searched_blocks import Blocks

TEXTS = st.text(alphabet="ab é\n\ud800" + string.digits[:2], max_size=6)
WORDS = st.lists(st.text(alphabet="abé\ud8001", min_size=1, max_size=3), max_size=3)
LONG_WORD = st.text(alphabet="abcé", min_size=3, max_size=9)
LONG_TEXTS = st.lists(LONG_WORD | st.sampled_from(["a1", "7", "ab-c"]), max_size=4).map(" ".join)


class Texts(list[str]):
    """Rows to search; another list is another version of all of them."""

    def version_of(self, block: int) -> object:
        return self

    def texts_of(self, rows: range) -> Sequence[str]:
        return self[rows.start : rows.stop]


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    rows_per_block, item_search.ROWS_PER_BLOCK = item_search.ROWS_PER_BLOCK, 3
    yield
    item_search.ROWS_PER_BLOCK = rows_per_block


def rows_by_hand(texts: Sequence[str], words: list[str]) -> list[int]:
    return [row for row in reversed(range(len(texts))) if all(word in texts[row] for word in words)]


def edits_between(one: str, other: str) -> int:
    """Optimal string alignment, cell by cell."""
    edits = [[row + column for column in range(len(other) + 1)] for row in range(len(one) + 1)]
    for row in range(1, len(one) + 1):
        for column in range(1, len(other) + 1):
            edits[row][column] = min(
                edits[row - 1][column] + 1,
                edits[row][column - 1] + 1,
                edits[row - 1][column - 1] + (one[row - 1] != other[column - 1]),
            )
            if row > 1 and column > 1 and one[row - 2 : row] == other[column - 2 : column][::-1]:
                edits[row][column] = min(edits[row][column], edits[row - 2][column - 2] + 1)
    return edits[-1][-1]


def similar_by_hand(texts: Sequence[str], words: list[str]) -> list[tuple[int, int]]:
    """Edits and rows, each text word by word."""
    found = []
    for row, text in enumerate(texts):
        total = 0
        for word in words:
            others = [other for other in text.split() if other.isalpha() and len(other) >= 3]
            fewest = min((edits_between(word, other) for other in others), default=99)
            total += 0 if word in text else fewest if fewest <= max_edits(word) else 99
        if 0 < total < 99:
            found.append((total, -row))
    return [(edits, -row) for edits, row in sorted(found)] if any(map(max_edits, words)) else []


def test_rows_with_every_word_come_highest_first() -> None:
    search = TextSearch(Texts(["blue mug", "red mug", "blue lamp", "mug in blue\nfor tea"]))
    assert list(search.rows_with(["mug", "blue"], 4)) == [3, 0]
    assert list(search.rows_with(["lue"], 3)) == [2, 0]
    assert list(search.rows_with(["ptea"], 4)) == []
    assert list(search.rows_with([], 2)) == [1, 0]


@given(st.lists(TEXTS, max_size=12), WORDS, st.data())
def test_a_search_finds_what_reading_every_text_finds(texts: list[str], words: list[str], data: st.DataObject) -> None:
    blocks = Blocks(texts)
    search = TextSearch(blocks)
    assert list(search.rows_with(words, len(texts))) == rows_by_hand(texts, words)
    before = list(texts)
    if texts:
        texts[data.draw(st.integers(0, len(texts) - 1))] = data.draw(TEXTS)
        texts.append(data.draw(TEXTS))
    later = search.of(Blocks(texts, blocks))
    num_rows = data.draw(st.integers(0, len(texts)))
    assert list(later.rows_with(words, num_rows)) == rows_by_hand(texts[:num_rows], words)
    assert list(later.rows_with(words, len(texts))) == rows_by_hand(texts, words)
    assert list(search.rows_with(words, len(before))) == rows_by_hand(before, words)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("teaopt", [0]),
        ("umbrela", [1]),
        ("umbrelas", [1]),
        ("mgu", []),
        ("ketle blue", [2]),
        ("kettle bule", [2]),
        ("teapot", [3]),
        ("38.91", []),
        ("teaopt 38.90", [0]),
    ],
)
def test_a_mistyped_word_finds_the_word_that_was_meant(typed: str, expected: list[int]) -> None:
    texts = Texts(["teapot 38.90", "umbrella 7", "blue kettle mug", "the taepot, 8 cups"])
    rows, _ = TextSearch(texts).rows_like(typed.split(), len(texts))
    assert rows.tolist() == expected


@given(st.lists(LONG_TEXTS, max_size=8), st.lists(LONG_WORD | st.sampled_from(["a1", "ab-c"]), max_size=3), st.data())
def test_similar_words_are_those_that_comparing_every_word_finds(
    texts: list[str], words: list[str], data: st.DataObject
) -> None:
    blocks = Blocks(texts)
    search = TextSearch(blocks)
    rows, edits = search.rows_like(words, len(texts))
    assert list(zip(edits.tolist(), rows.tolist(), strict=True)) == similar_by_hand(texts, words)
    texts = [*texts[:-1], data.draw(LONG_TEXTS), data.draw(LONG_TEXTS)]
    rows, edits = search.of(Blocks(texts, blocks)).rows_like(words, len(texts))
    assert list(zip(edits.tolist(), rows.tolist(), strict=True)) == similar_by_hand(texts, words)
