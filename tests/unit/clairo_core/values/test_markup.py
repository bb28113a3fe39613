"""Mark-up is no words: descriptions as shops store them."""

import html
import time

from hypothesis import given
from hypothesis import strategies as st

from clairo_core.encoders import BuiltinTextEncoder
from clairo_core.items import Item
from clairo_core.values.markup import words_of

TEA = "A tea pot that pours without a drip and holds four cups of tea"
SHOE = "A running sneaker with laces and a rubber sole"
WRAPPED = (
    '<div class="rte"><p style="color: rgb(51, 51, 51); text-align: left;"><span>{}</span></p>'
    "<ul><li>Free shipping&nbsp;&amp; returns</li></ul></div>"
)


def test_words_of_a_description_in_html_are_its_visible_text() -> None:
    assert words_of(WRAPPED.format(TEA)) == f"{TEA} Free shipping & returns"
    assert words_of('<a title="a > b">link</a>') == "link"
    assert words_of("<p>one</p><p>two</p>three<br/>four") == "one two three four"
    assert words_of("<style>p {color: red}</style>red<script>alert('x')</script>") == "red"
    assert words_of("caf&eacute; &#8364;5") == "café €5"
    assert words_of("<!-- hidden -->shown") == "shown"
    assert words_of("<p>one</p>\\n<p>two</p>") == "one two"
    assert words_of("<tr><td>Size</td><td>L</td></tr>") == "Size L"


def test_plain_text_stays_as_it_is() -> None:
    for text in ("", "5 < 6 & 7 > 3", "I <3 tea", "AT&T", "black&white", "two  spaces\nand lines", "<![CDATA[odd"):
        assert words_of(text) == text


@given(st.text(st.characters(exclude_characters="\0\\", exclude_categories=["Cs"])))
def test_any_text_has_words_and_escaping_it_changes_none(text: str) -> None:
    words_of(text)
    assert words_of(f"<p>{html.escape(text)}</p>").split() == text.split()


@given(st.text(alphabet="<>/![]-&;#ab \"'=", max_size=60))
def test_broken_mark_up_is_read_without_an_error(text: str) -> None:
    words_of(text)


def test_twenty_thousand_characters_of_open_tags_are_read_in_a_moment() -> None:
    start = time.process_time()
    for unit in ("<a ", "<a a='", "<!--a", "<div>", "</b"):
        words_of(f"{unit * (20_000 // len(unit))}>")
    assert time.process_time() - start < 2


def test_items_alike_in_words_are_more_alike_than_items_alike_in_mark_up() -> None:
    plain = [Item(item_id=str(number), texts={"title": text}) for number, text in enumerate((TEA, SHOE) * 8)]
    encoder = BuiltinTextEncoder.fit(plain, dim=2)
    tea, tea_in_html, shoe_in_html = encoder.encode(
        [
            Item(item_id="a", texts={"title": TEA}),
            Item(item_id="b", texts={"title": f"<div><p>{TEA}</p></div>"}),
            Item(item_id="c", texts={"title": f"<div><p>{SHOE}</p></div>"}),
        ]
    ).vectors
    assert tea_in_html.tolist() == tea.tolist()
    assert shoe_in_html @ tea_in_html < tea @ tea_in_html
