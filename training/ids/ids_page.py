"""The figures of ids, and the items behind codes in pictures, as one self-contained HTML page. Start at `page_of`."""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from clairo_core.items import Item
from clairo_core.progress import Progress
from training.comparison.item_pictures import ITEMS_IN_A_ROW, PICTURE_STYLE, codes_in_pictures, row_of_items
from training.comparison.page_style import style_sheet
from training.comparison.svg_charts import Bar, Span, bar_rows, dot_plot
from training.ids.ids_figures import WINDOW, Depth, IdsFigures, Likeness, Mean
from training.ids.ids_text import MEANINGS, as_number, as_share, summary, times_any_pair
from training.ids.item_ids import ItemIds, groups_of

GROUPS_SHOWN = 6


def page_of(ids: ItemIds, figures: IdsFigures, dataset: str, items: Sequence[Item], progress: Progress) -> str:
    """The report as one HTML document; `items` are those of the ids, row by row."""
    pictures = codes_in_pictures(
        ids.semantic_ids, ids.codebook_names, items.__getitem__, progress, "ids: pictures behind codes"
    )
    sentences = [ids.origin.name, f"{figures.num_items:,} items", *summary(figures)]
    about = " ".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(dataset)}: semantic ids</title><style>{style_sheet()}{PICTURE_STYLE}</style></head><body>
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


def _shared(ids: ItemIds, items: Sequence[Item]) -> str:
    groups = groups_of(ids.semantic_ids)
    sizes = np.bincount(groups)
    largest = [int(group) for group in np.argsort(-sizes, kind="stable")[:GROUPS_SHOWN] if sizes[group] > 1]
    if not largest:
        return ""
    rows = [np.flatnonzero(groups == group) for group in largest]
    shown = "".join(
        row_of_items(
            " ".join(map(str, ids.semantic_ids[of_group[0]])),
            f"{len(of_group):,} items",
            [items[row] for row in of_group[:ITEMS_IN_A_ROW].tolist()],
        )
        for of_group in rows
    )
    return (
        "<section><h2>Items that share a semantic id</h2><p>The largest groups. Only the collision index tells their "
        f"items apart.</p>{shown}</section>"
    )


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
