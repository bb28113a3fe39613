"""The figures of ids, and the items behind codes in pictures, as one self-contained HTML page. Start at `page_of`."""

import base64
import io
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from jaxtyping import Int
from PIL import Image

from clairo_core.encoders.pictures import decode_picture
from clairo_core.errors import ContentError
from clairo_core.items import Item
from clairo_core.progress import Progress
from training.comparison.page_style import style_sheet
from training.comparison.svg_charts import Bar, Span, bar_rows, dot_plot
from training.ids.ids_figures import WINDOW, Depth, IdsFigures, Likeness, Mean
from training.ids.ids_text import MEANINGS, as_number, as_share, summary, times_any_pair
from training.ids.item_ids import ItemIds, groups_of

THUMBNAIL_SIDE = 72
ITEMS_PER_CODE = 8
ROWS_OF_PICTURES = 24
"""Over all levels, so that the page stays small: at most some hundred pictures."""
FEWEST_PER_LEVEL = 2
GROUPS_SHOWN = 6
_SEED = 0
_STYLE = """
.behind{display:grid;grid-template-columns:96px 1fr;gap:6px 14px;align-items:center;margin:0 0 6px}
.behind div{display:flex;flex-wrap:wrap;gap:6px}
.behind b{font-weight:600}.behind small{display:block;color:var(--quiet)}
figure{margin:0;width:84px;font-size:11px;line-height:1.25;color:var(--quiet);overflow:hidden;text-align:center}
figure img,figure span.none{display:block;width:72px;height:72px;margin:0 auto 2px;border-radius:6px;object-fit:contain;
background:#fff;border:1px solid var(--line)}figure span.none{background:var(--ground)}
figcaption{display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical;overflow:hidden}
h3{font-size:14px;margin:16px 0 8px}
@media(max-width:600px){.behind{grid-template-columns:1fr}}
"""


def page_of(ids: ItemIds, figures: IdsFigures, dataset: str, items: Sequence[Item], progress: Progress) -> str:
    """The report as one HTML document; `items` are those of the ids, row by row."""
    pictures = _codes_in_pictures(ids, items, progress)
    sentences = [ids.origin.name, f"{figures.num_items:,} items", *summary(figures)]
    about = " ".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(dataset)}: semantic ids</title><style>{style_sheet()}{_STYLE}</style></head><body>
<header><h1>Semantic ids of {escape(dataset)}</h1>
<p>{escape(about)}</p></header>
<main><div class="pair">{_use(figures)}{_bought_together(figures)}</div>
<div class="pair top">{_depth_sections(figures)}</div>
{pictures}{_shared(ids, items)}{_table(figures)}
<footer>report.json beside this page holds the same figures. {escape(MEANINGS)}</footer></main></body></html>
"""


def _use(figures: IdsFigures) -> str:
    bars = [
        Bar(
            level.name,
            level.perplexity / level.size,
            3,
            f"{level.num_used:,} of {level.size:,}" + (f", {level.num_dead:,} dead" if level.num_dead else ""),
        )
        for level in figures.levels
    ]
    return (
        "<section><h2>Use of the codes</h2><p>Perplexity of each level as a share of its codes, 1 if all are used "
        f"equally often, and the number of codes in use.</p>{bar_rows(bars, title='Use of each level')}</section>"
    )


def _bought_together(figures: IdsFigures) -> str:
    named: list[tuple[str, Mean | None, int]] = [("any pair", figures.any_pair.together, 0)]
    named += [(level.name, level.same_code.together, 2) for level in figures.levels]
    return _dots(
        "Same code, bought together",
        f"Share of pairs with the same code at a level that were at most {WINDOW} places apart in a history, and of "
        "any pairs.",
        named,
    )


def _depth_sections(figures: IdsFigures) -> str:
    def by_depth(pick: Callable[[Likeness], Mean | None], series: int) -> list[tuple[str, Mean | None, int]]:
        return [(_of_depth(depth), pick(depth.likeness), series) for depth in figures.depths]

    meaning = "Pairs of items by how many of their first codes agree: "
    return _dots(
        "Shared codes and content", f"{meaning}mean cosine of content embeddings.", by_depth(lambda one: one.content, 1)
    ) + _dots(
        "Shared codes and behaviour",
        f"{meaning}mean cosine of vectors from neighbours in histories.",
        by_depth(lambda one: one.behaviour, 5),
    )


def _of_depth(depth: Depth) -> str:
    return f"first {depth.num_shared}" if depth.num_shared else "none"


def _dots(title: str, meaning: str, named: Sequence[tuple[str, Mean | None, int]]) -> str:
    spans = [
        Span(
            name,
            mean.value,
            mean.value - (mean.half_interval or 0.0),
            mean.value + (mean.half_interval or 0.0),
            series,
            f"{mean.value:.3f}",
        )
        for name, mean, series in named
        if mean is not None
    ]
    chart = dot_plot(spans, title=title, starts_at_zero=False) if spans else "<p>Nothing to compare.</p>"
    return f"<section><h2>{title}</h2><p>{meaning}</p>{chart}</section>"


def _codes_in_pictures(ids: ItemIds, items: Sequence[Item], progress: Progress) -> str:
    random = np.random.default_rng(_SEED)
    num_levels = len(ids.codebook_sizes)
    num_shown = max(FEWEST_PER_LEVEL, ROWS_OF_PICTURES // num_levels)
    parts = []
    for level in progress(range(num_levels), "ids: pictures behind codes", num_levels):
        codes = ids.semantic_ids[:, level]
        parts.append(f"<h3>{ids.codebook_names[level]}</h3>")
        for code in codes_to_show(codes, num_shown):
            rows = np.flatnonzero(codes == code)
            drawn = random.permutation(rows)[:ITEMS_PER_CODE]
            parts.append(_row(f"code {code}", f"{len(rows):,} items", [items[row] for row in drawn.tolist()]))
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


def _shared(ids: ItemIds, items: Sequence[Item]) -> str:
    groups = groups_of(ids.semantic_ids)
    sizes = np.bincount(groups)
    largest = [int(group) for group in np.argsort(-sizes, kind="stable")[:GROUPS_SHOWN] if sizes[group] > 1]
    if not largest:
        return ""
    rows = [np.flatnonzero(groups == group) for group in largest]
    shown = "".join(
        _row(
            " ".join(map(str, ids.semantic_ids[of_group[0]])),
            f"{len(of_group):,} items",
            [items[row] for row in of_group[:ITEMS_PER_CODE].tolist()],
        )
        for of_group in rows
    )
    return (
        "<section><h2>Items that share a semantic id</h2><p>The largest groups. Only the collision index tells their "
        f"items apart.</p>{shown}</section>"
    )


def _row(label: str, note: str, items: Sequence[Item]) -> str:
    shown = "".join(_figure(item) for item in items)
    return f'<div class="behind"><span><b>{label}</b><small>{note}</small></span><div>{shown}</div></div>'


def _figure(item: Item) -> str:
    title = escape(item.title or item.item_id)
    picture = thumbnail(item)
    shown = f'<img src="{picture}" alt="">' if picture else '<span class="none"></span>'
    return f'<figure title="{escape(item.item_id)}">{shown}<figcaption>{title}</figcaption></figure>'


def thumbnail(item: Item) -> str | None:
    """The item's picture as a small JPEG in a data url; None without one that can be decoded."""
    content = item.read_picture()
    if content is None:
        return None
    try:
        picture = decode_picture(content, shortest_side=THUMBNAIL_SIDE)
    except ContentError:
        return None
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _table(figures: IdsFigures) -> str:
    levels = "".join(
        f"<tr><td>{level.name}</td><td>{level.size:,}</td><td>{level.num_used:,}</td><td>{level.num_dead:,}</td>"
        f"<td>{level.perplexity:.1f}</td><td>{as_share(level.same_code.together)}</td>"
        f"<td>{times_any_pair(level.same_code, figures.any_pair)}</td></tr>"
        for level in figures.levels
    )
    depths = "".join(
        f"<tr><td>{_of_depth(depth)}</td><td>{depth.num_pairs:,}</td><td>{as_number(depth.likeness.content)}</td>"
        f"<td>{as_number(depth.likeness.behaviour)}</td><td>{as_share(depth.likeness.together)}</td></tr>"
        for depth in figures.depths
    )
    return (
        '<section><h2>All figures</h2><div class="scroll"><table><thead><tr><th>level</th><th>codes</th><th>used</th>'
        "<th>dead</th><th>perplexity</th><th>same code: together</th><th>times any pair</th></tr></thead>"
        f"<tbody>{levels}</tbody></table><table><thead><tr><th>codes shared</th><th>pairs</th><th>content</th>"
        f"<th>behaviour</th><th>together</th></tr></thead><tbody>{depths}</tbody></table></div></section>"
    )
