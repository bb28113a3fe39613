"""Items as small pictures with titles, in rows: what stands behind a code, a token, or a recommendation."""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from html import escape

import numpy as np
from jaxtyping import Int
from PIL import Image

from clairo_core.encoders.pictures import decode_picture
from clairo_core.errors import ContentError
from clairo_core.items import Item
from clairo_core.progress import Progress
from clairo_core.values.counted import counted

THUMBNAIL_SIDE = 72
ITEMS_IN_A_ROW = 8
ROWS_OF_CODES = 24
"""Over all levels, so that the page stays small: at most some hundred pictures."""
FEWEST_PER_LEVEL = 2
LEVELS_OPEN = 4
_SEED = 0
PICTURE_STYLE = """
.behind{display:grid;grid-template-columns:96px 1fr;gap:6px 14px;align-items:center;margin:0 0 6px}
.behind div{display:flex;flex-wrap:wrap;gap:6px}
.behind b{font-weight:600}.behind small{display:block;color:var(--quiet)}
figure{margin:0;width:84px;font-size:11px;line-height:1.25;color:var(--quiet);overflow:hidden;text-align:center}
figure img,figure span.none{display:block;width:72px;height:72px;margin:0 auto 2px;border-radius:6px;object-fit:contain;
background:#fff;border:1px solid var(--line)}figure span.none{background:var(--ground)}
figcaption{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
summary{font-size:14px;font-weight:600;padding:10px 0 8px;cursor:pointer}
h3{font-size:14px;margin:16px 0 8px}
.tokens{display:grid;grid-template-columns:1fr 1fr;gap:6px 18px}.tokens .behind{grid-template-columns:150px 1fr}
@media(max-width:900px){.tokens{grid-template-columns:1fr}}
@media(max-width:600px){.behind,.tokens .behind{grid-template-columns:1fr}}
"""


def codes_in_pictures(
    codes: Int[np.ndarray, "item level"],
    names: Sequence[str],
    item_of: Callable[[int], Item],
    progress: Progress[int],
    label: str,
) -> str:
    """A section with items behind codes of every level; `item_of` gives the item of a row with its picture."""
    random = np.random.default_rng(_SEED)
    num_shown = max(FEWEST_PER_LEVEL, ROWS_OF_CODES // len(names))
    parts = []
    for level in progress(range(len(names)), label, len(names)):
        rows_of_level = ""
        for code in codes_to_show(codes[:, level], num_shown):
            rows = np.flatnonzero(codes[:, level] == code)
            drawn = random.permutation(rows)[:ITEMS_IN_A_ROW]
            rows_of_level += row_of_items(f"code {code}", counted(len(rows), "item"), map(item_of, drawn.tolist()))
        is_open = " open" if level < LEVELS_OPEN else ""
        parts.append(f"<details{is_open}><summary>{escape(names[level])}</summary>{rows_of_level}</details>")
    return (
        "<section><h2>Items behind a code</h2><p>Codes from the most to the least used, and some of their items, drawn "
        f"at random.</p>{''.join(parts)}</section>"
    )


def codes_to_show(codes: Int[np.ndarray, "item"], most: int) -> list[int]:
    """Codes at equal steps from the most used to the least used of two items or more.

    >>> codes_to_show(np.array([4, 4, 4, 1, 1, 0, 0, 7]), 2)
    [4, 1]
    """
    counts = np.bincount(codes)
    order = np.argsort(-counts, kind="stable")
    used = order[counts[order] > 1] if (counts > 1).any() else order[counts[order] > 0]
    places = np.unique(np.linspace(0, len(used) - 1, most).astype(np.int64))
    return [int(code) for code in used[places]]


def row_of_items(label: str, note: str, items: Iterable[Item]) -> str:
    """A label with a note, and the items beside it; both texts are HTML."""
    listed = list(items)
    pictures = [thumbnail(item) for item in listed]
    # An empty frame marks a missing picture among others. In a shop without pictures, words are enough.
    missing = '<span class="none"></span>' if any(pictures) else ""
    shown = "".join(_figure(item, picture, missing) for item, picture in zip(listed, pictures, strict=True))
    return f'<div class="behind"><span><b>{label}</b><small>{note}</small></span><div>{shown}</div></div>'


def _figure(item: Item, picture: str | None, missing: str) -> str:
    title = escape(item.title)
    shown = f'<img src="{picture}" alt="">' if picture else missing
    return f'<figure title="{escape(item.item_id)}">{shown}<figcaption>{title}</figcaption></figure>'


def thumbnail(item: Item) -> str | None:
    """The item's picture as a small JPEG in a data url; None without one that can be decoded."""
    content = item.read_picture()
    picture = None if content is None else small_picture(content, THUMBNAIL_SIDE)
    if picture is None:
        return None
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def small_picture(content: bytes, side: int) -> Image.Image | None:
    """Decode a picture at most `side` pixels wide and high; None if that fails."""
    try:
        picture = decode_picture(content, shortest_side=side)
    except ContentError:
        return None
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture
