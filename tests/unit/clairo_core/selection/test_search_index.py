"""A written search index: it finds what reading every text finds, while texts come and change; damage is named."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import BundleError
from clairo_core.items import Item
from clairo_core.selection import item_search
from clairo_core.selection.item_search import TextSearch
from clairo_core.selection.search_index import load_search_index, search_text, write_search_index
from tests.searched_blocks import Blocks

WORD = st.sampled_from(["teapot", "taepot", "umbrella", "umbrela", "mug", "blue", "red-1", "7", "é\ud800", "Ä"])
TITLES = st.lists(st.lists(WORD, max_size=4).map(" ".join), max_size=14)
SEARCHED = st.lists(st.sampled_from(["teapot", "umbrella", "blu", "mug", "red-1", "7", "é"]), max_size=3)


class Unread(Blocks):
    """Rows that must not be read."""

    def texts_of(self, rows: range) -> Sequence[str]:
        raise AssertionError(f"{rows} were read")


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    before = item_search.ROWS_PER_BLOCK, item_search._BLOCKS_WITHOUT_WORDS
    item_search.ROWS_PER_BLOCK, item_search._BLOCKS_WITHOUT_WORDS = 3, 1
    yield
    item_search.ROWS_PER_BLOCK, item_search._BLOCKS_WITHOUT_WORDS = before


def items_of(titles: Sequence[str]) -> list[Item]:
    return [
        Item(item_id=f"id{row}", texts={"title": title}, attributes={"price": float(row)})
        for row, title in enumerate(titles)
    ]


def found_by(search: TextSearch, words: list[str], num_rows: int) -> tuple[list[int], list[int], list[int]]:
    rows, edits = search.rows_like(words, num_rows)
    return list(search.rows_with(words, num_rows)), rows.tolist(), edits.tolist()


@settings(deadline=None)
@given(TITLES, SEARCHED, st.data())
def test_an_index_finds_what_reading_every_text_finds(titles: list[str], words: list[str], data: st.DataObject) -> None:
    texts = [search_text(item) for item in items_of(titles)]
    with TemporaryDirectory() as folder:
        write_search_index(Path(folder), items_of(titles))
        index = load_search_index(Path(folder), len(titles))
    unread = TextSearch(Unread(texts), index)
    num_rows = data.draw(st.integers(0, len(texts)))
    assert found_by(unread, words, num_rows) == found_by(TextSearch(Blocks(texts)), words, num_rows)
    blocks = Blocks(texts)
    changed = [*texts, *data.draw(TITLES)]
    if texts:
        changed[data.draw(st.integers(0, len(texts) - 1))] = data.draw(WORD)
    later = TextSearch(blocks, index).of(Blocks(changed, blocks))
    num_rows = data.draw(st.integers(0, len(changed)))
    assert found_by(later, words, num_rows) == found_by(TextSearch(Blocks(changed)), words, num_rows)


def test_items_are_searched_by_id_words_and_values() -> None:
    item = Item(item_id="SKU-7", texts={"title": "Blue Mug"}, attributes={"price": 8.5, "sizes": ("S", "M")})
    assert search_text(item) == "sku-7\nblue mug\n8.5\ns\nm"


def test_a_bundle_of_before_has_no_index(tmp_path: Path) -> None:
    assert load_search_index(tmp_path / "search", 2) is None


def test_an_index_of_other_items_is_refused(tmp_path: Path) -> None:
    write_search_index(tmp_path, items_of(["mug", "lamp"]))
    with pytest.raises(BundleError, match="'starts' is int64"):
        load_search_index(tmp_path, 3)
    (tmp_path / "texts.bin").write_bytes(b"mug\n")
    with pytest.raises(BundleError, match="do not fit each other"):
        load_search_index(tmp_path, 2)
    (tmp_path / "texts.bin").unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        load_search_index(tmp_path, 2)
