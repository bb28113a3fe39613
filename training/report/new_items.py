"""Describe how a bundle treats items that nobody has bought: a trial in training, and their neighbours in pictures."""

from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float32

from clairo_core.bundle.bundle import Bundle
from clairo_core.selection.similar_items import EmbeddingTable
from clairo_core.values.counted import counted
from training.comparison.item_pictures import row_of_items
from training.comparison.svg_charts import Bar, bar_rows
from training.report.shown_items import shown_item

ITEMS_SHOWN = 6
NEIGHBOURS_SHOWN = 6
_SEED = 0


def new_items_section(bundle: Bundle, vectors: Float32[np.ndarray, "item dim"] | None) -> str:
    """The section's HTML; empty for a bundle without a trial and without such items."""
    is_new = bundle.popularity == 0
    trial = _trial(bundle.manifest.metrics.get("new_items"))
    pictures = "" if vectors is None else _pictures(bundle, is_new, vectors)
    if not trial and not is_new.any():
        return ""
    share = f"{counted(int(is_new.sum()), 'item')} without an interaction in training." if is_new.any() else ""
    about = f"<p>{share}</p>" if share else ""
    return f"<section><h2>New items</h2>{about}{trial}{pictures}</section>"


def _trial(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ""
    bars = [
        Bar(label, figures[name], series, f"{figures[name]:.4f}")
        for label, name, series in (
            ("next items that are new", "cold_recall", 5),
            ("other next items", "warm_recall", 3),
            ("others, without new items", "warm_recall_without", 0),
        )
    ]
    return (
        "<p>In training, some items were held back from the dense heads, then competed as if just posted: described by "
        "picture and words alone. Recall@10 of the validation users that weights were fitted on, full bars at 1. New "
        f"items took {figures['share_of_places']:.1%} of the first ten places, and were "
        f"{figures['share_of_targets']:.1%} of the next items.</p>"
        f'<div class="narrow">{bar_rows(bars, title="Recall@10 of new and of other items")}</div>'
    )


def _pictures(bundle: Bundle, is_new: np.ndarray, vectors: Float32[np.ndarray, "item dim"]) -> str:
    new, table = np.flatnonzero(is_new), EmbeddingTable(vectors)
    if not len(new) or is_new.all():
        return ""
    drawn = np.sort(np.random.default_rng(_SEED).permutation(new)[:ITEMS_SHOWN])
    rows = ""
    for row in drawn.tolist():
        similar, _ = table.most_similar(row, NEIGHBOURS_SHOWN, ~is_new)
        items = [shown_item(bundle, one) for one in (row, *similar.tolist())]
        rows += row_of_items("new", escape(bundle.items[row].item_id), items)
    return (
        "<h3>Neighbours of new items</h3><p>A new item first, then the most similar items that users know. It can be "
        f"recommended to their buyers from its first second.</p>{rows}"
    )
