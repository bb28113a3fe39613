"""Read the words of text that shops store as HTML: tags, attributes, scripts and styles are no words.

selectolax parses, by the rules of browsers and in linear time: Python's own parser takes seconds for a few thousand
open tags. The choice of elements that separate words is ours.
"""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

_TAG = re.compile(r"<(?:[A-Za-z/?]|!(?!\[))[^<>]*>")
_CELL = re.compile(r"<t[dhr]\b", re.IGNORECASE)
"""Outside of a table, browsers drop its tags, and cells would run together."""
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")
_SILENT = frozenset({"script", "style", "template", "title", "-comment"})
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
    if not _TAG.search(text) and not _ENTITY.search(text):
        return text
    # As data, a marked section is text. WooCommerce exports line breaks as backslash and n.
    html = _CELL.sub(r" \g<0>", text.replace("<![", "< ![").replace("\\n", "\n"))
    root = LexborHTMLParser(html).root
    return "" if root is None else " ".join("".join(_shown(root)).split())


def _shown(root: LexborNode) -> list[str]:
    """Texts in reading order, with spaces around the elements that are not inline."""
    parts: list[str] = []
    remaining: list[LexborNode | str] = [root]
    while remaining:
        node = remaining.pop()
        if isinstance(node, str):
            parts.append(node)
        elif node.is_text_node:
            parts.append(node.text_content or "")
        elif node.tag not in _SILENT:
            # In reverse: the last comes first off the stack.
            inside: list[LexborNode | str] = list(node.iter(include_text=True))
            around: list[LexborNode | str] = [] if node.tag in _INLINE else [" "]
            remaining += [*around, *reversed(inside), *around]
    return parts
