"""Product feeds in XML: RSS and Atom, fields by name, and no document types."""

from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import DatasetError, RowError
from tests.packed import write_packed
from training.datasets.tables import xml_feeds
from training.datasets.tables.table_files import column_names, read_table
from training.datasets.tables.xml_feeds import feed_records

FEED = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>
<title>Shop</title>
<item>
  <g:id>TV_1</g:id><title>A &amp; B</title>
  <description><![CDATA[<p>Fish &amp; chips</p>]]></description>
  <g:additional_image_link>1.jpg</g:additional_image_link><g:additional_image_link>2.jpg</g:additional_image_link>
  <g:shipping><g:country>DE</g:country><g:price>4.90 EUR</g:price></g:shipping><g:gtin/>
</item>
<item><g:id>TV_2</g:id></item>
</channel></rss>
"""
FIRST = {
    "id": "TV_1",
    "title": "A & B",
    "description": "<p>Fish &amp; chips</p>",
    "additional_image_link": ["1.jpg", "2.jpg"],
    "shipping": {"country": "DE", "price": "4.90 EUR"},
    "gtin": None,
}


@pytest.mark.parametrize("name", ["feed.xml", "feed.xml.gz", "feed.xml.zst"])
def test_items_are_records_of_their_fields_without_prefix(tmp_path: Path, name: str) -> None:
    write_packed(tmp_path / name, FEED)
    assert list(feed_records(tmp_path / name)) == [(4, FIRST), (10, {"id": "TV_2"})]
    assert column_names(tmp_path / name)[:2] == ("id", "title")


def test_an_atom_feed_and_names_with_prefix_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    atom = FEED.replace("item>", "entry>").replace("rss", "feed").replace("<channel>", "").replace("</channel>", "")
    path.write_text(atom)
    table = read_table(path, {"g:id": "id", "shipping.price": "text", "additional_image_link": "picture"}).table
    assert table.to_pydict() == {
        "g:id": ["TV_1", "TV_2"],
        "shipping.price": ["4.90 EUR", None],
        "additional_image_link": ["1.jpg", None],
    }


def test_an_error_names_the_line_of_its_item(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(FEED)
    assert "row 10, field 'id'" in str(read_table(path, {"id": "id"}).error(1, "id", "wrong"))


@pytest.mark.parametrize(
    "document_type",
    [
        '<!DOCTYPE rss [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE rss [<!ENTITY secret SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE rss SYSTEM "http://example.com/rss.dtd">',
    ],
)
def test_a_document_type_is_refused_before_any_entity_is_read(tmp_path: Path, document_type: str) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(FEED.replace("<rss", f"{document_type}<rss", 1).replace("TV_1", "&a;&b;&secret;"))
    with pytest.raises(DatasetError, match="has a document type <!DOCTYPE rss>, expected a feed without one"):
        list(feed_records(path))


@pytest.mark.parametrize("text", ["", "<rss>", "<rss></feed>", FEED.replace("&amp; B", "& B"), FEED[:-20], "no"])
def test_text_that_is_not_xml_is_refused_by_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(text)
    with pytest.raises(RowError, match=r"feed.xml row \d+ is not XML"):
        list(feed_records(path))


xml_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))


@settings(deadline=None)
@given(st.lists(st.tuples(xml_text, xml_text), min_size=1, max_size=4), st.integers(1, 40))
def test_written_items_are_read_back_in_blocks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, str]], block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "drawn.xml"
    lines = [f"<item><g:id>{escape(one)}</g:id><title>{escape(title)}</title></item>" for one, title in items]
    path.write_text(f"<rss><channel>{''.join(lines)}</channel></rss>", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xml_feeds, "_BLOCK_BYTES", block)
        read = [(record["id"], record["title"]) for _, record in feed_records(path)]
    assert read == [(one.strip() or None, title.strip() or None) for one, title in items]
