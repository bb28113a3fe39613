"""Read the words of text that shops store as HTML: tags, attributes, scripts and styles are no words."""

import re
from html.parser import HTMLParser

_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")
_SILENT = frozenset({"script", "style", "template", "title", "head"})
"""Their content is never shown as part of a description."""
_INLINE = frozenset({"a", "abbr", "b", "em", "font", "i", "mark", "small", "span", "strong", "sub", "sup", "u"})


def words_of(text: str) -> str:
    """Drop mark-up and resolve entities; text without either comes back as it is.

    >>> words_of("<p style='color: red'>Holds <b>four</b> cups</p><p>Fish &amp; chips</p>")
    'Holds four cups Fish & chips'
    >>> words_of("5 < 6, black & white")
    '5 < 6, black & white'
    """
    if "<" not in text and "&" not in text:
        return text
    words = _Words()
    # The parser asserts that a marked section is well-formed; as data, it need not be.
    words.feed(text.replace("<![", "< !["))
    words.close()
    if not words.has_tags and not _ENTITY.search(text):
        return text
    return " ".join("".join(words.parts).split())


class _Words(HTMLParser):
    """Collects text outside of tags, with entities resolved."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.has_tags = False
        self._silent_tag = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _SILENT and not self._silent_tag:
            self._silent_tag = tag
        self._separate(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._silent_tag:
            self._silent_tag = ""
        self._separate(tag)

    def handle_comment(self, data: str) -> None:
        self.has_tags = True

    def handle_data(self, data: str) -> None:
        if not self._silent_tag:
            self.parts.append(data)

    def _separate(self, tag: str) -> None:
        self.has_tags = True
        if tag not in _INLINE:
            self.handle_data(" ")
