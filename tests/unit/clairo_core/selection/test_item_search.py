"""Search of words in texts: every substring, newest first, while texts come and change."""

import string

from hypothesis import given
from hypothesis import strategies as st

from clairo_core.selection import item_search
from clairo_core.selection.item_search import TextSearch

TEXTS = st.text(alphabet="ab é\n\ud800" + string.digits[:2], max_size=6)
WORDS = st.lists(st.text(alphabet="abé\ud8001", min_size=1, max_size=3), max_size=3)


def rows_by_hand(texts: list[str], words: list[str]) -> list[int]:
    return [row for row in reversed(range(len(texts))) if all(word in texts[row] for word in words)]


def test_rows_with_every_word_come_highest_first() -> None:
    search = TextSearch(["blue mug", "red mug", "blue lamp", "mug in blue\nfor tea"].__getitem__)
    assert list(search.rows_with(["mug", "blue"], 4)) == [3, 0]
    assert list(search.rows_with(["lue"], 3)) == [2, 0]
    assert list(search.rows_with(["ptea"], 4)) == []
    assert list(search.rows_with([], 2)) == [1, 0]


@given(st.lists(TEXTS, max_size=12), WORDS, st.data())
def test_a_search_finds_what_reading_every_text_finds(texts: list[str], words: list[str], data: st.DataObject) -> None:
    rows_per_block, item_search.ROWS_PER_BLOCK = item_search.ROWS_PER_BLOCK, 3
    try:
        search = TextSearch(lambda row: texts[row])
        assert list(search.rows_with(words, len(texts))) == rows_by_hand(texts, words)
        if texts:
            row = data.draw(st.integers(0, len(texts) - 1))
            texts[row] = data.draw(TEXTS)
            texts.append(data.draw(TEXTS))
            search.forget([row, len(texts) - 1])
        num_rows = data.draw(st.integers(0, len(texts)))
        assert list(search.rows_with(words, num_rows)) == rows_by_hand(texts[:num_rows], words)
        assert list(search.rows_with(words, len(texts))) == rows_by_hand(texts, words)
    finally:
        item_search.ROWS_PER_BLOCK = rows_per_block


def test_a_text_that_changes_while_it_is_read_is_read_again() -> None:
    texts = ["old"]

    def read(row: int) -> str:
        text = texts[row]
        if text == "old":
            texts[0] = "new"
            search.forget([0])
        return text

    search = TextSearch(read)
    list(search.rows_with(["old"], 1))
    assert list(search.rows_with(["new"], 1)) == [0]
