"""Turn a comparison into one self-contained HTML page. Start at `html_of`.

The page shows one seen-item mode at a time and switches without a script.
"""

from html import escape
from math import isnan

from training.comparison.figures import Comparison, Difference, Figure
from training.comparison.page_style import series_of, style_sheet
from training.comparison.run_charts import legend, sections_of_runs
from training.comparison.svg_charts import Span, dot_plot, grouped_bars
from training.comparison.text_table import BREADTH_IN_WORDS, users_in_words
from training.evaluation.metrics import FEWEST_TARGETS, METRICS
from training.evaluation.slices import EDGES, TAIL
from training.evaluation.split import ALLOWED, CHOSEN_ON_THESE_USERS, MASKED, WEIGHED

WORDS_OF_MODES = {
    MASKED: "are left out, as in a shop",
    WEIGHED: "may be recommended, with one rule for repeats",
    ALLOWED: "may be recommended, as in most papers",
}


def html_of(comparison: Comparison) -> str:
    """The report as one HTML document."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(comparison.dataset)}: comparison</title><style>{style_sheet()}</style></head><body>
<header><h1>{escape(comparison.dataset)}, {escape(comparison.split)} split</h1>
<p>{protocol_in_words(comparison)}</p>{mode_switch(comparison)}</header>
<main>{sections_of_modes(comparison)}{sections_of_runs(comparison)}{section_of_rankers(comparison)}
<footer>results.json, figures.parquet, differences.parquet and ranks.parquet beside this page hold the same figures and
each user's ranks.</footer>
</main></body></html>
"""


def protocol_in_words(comparison: Comparison) -> str:
    """What is measured, on whom and how, as HTML text."""
    chosen = f" On this split, {CHOSEN_ON_THESE_USERS}." if comparison.split == "validation" else ""
    return (
        f"{users_in_words(comparison).capitalize()}, each with {comparison.held_out.to_predict} to predict "
        f"({escape(str(comparison.held_out))}). Full ranking over {comparison.num_items:,} items by item id; ties "
        "count against the target. Ranges are 95% bootstrap intervals over users "
        f"({comparison.num_resamples:,} resamples).{chosen}"
    )


def mode_switch(comparison: Comparison) -> str:
    """Buttons for the modes; the last is shown first."""
    shown_first = comparison.modes[-1]
    buttons = "".join(
        f'<input type="radio" name="mode" id="{mode}"{" checked" if mode == shown_first else ""}>'
        f'<label for="{mode}">{WORDS_OF_MODES[mode]}</label>'
        for mode in reversed(comparison.modes)
    )
    return f'<div class="modes" role="group" aria-label="Seen items">Items the user has seen {buttons}</div>'


def sections_of_modes(comparison: Comparison) -> str:
    """Figures, slices, differences and the table, once per mode; the switch shows one of them."""
    return "".join(_mode(comparison, seen_items) for seen_items in comparison.modes)


def section_of_rankers(comparison: Comparison) -> str:
    """Each ranker with its note."""
    rankers = "".join(f"<dt>{escape(name)}</dt><dd>{escape(note)}</dd>" for name, note in comparison.notes.items())
    return f"<section><h2>Rankers</h2><dl>{rankers}</dl></section>"


def _mode(comparison: Comparison, seen_items: str) -> str:
    overall = "".join(
        f"<section><h2>{name}</h2><p>{meaning}</p>{_overall(comparison, seen_items, metric)}</section>"
        for name, metric, meaning in (
            (
                "NDCG@10",
                "ndcg@10",
                "1 for targets in the first places, falling with their ranks to 0 beyond the tenth.",
            ),
            ("Recall@10", "recall@10", "Share of a user's targets among the first ten items."),
        )
    )
    slices = "".join(
        f"<section><h2>NDCG@10 by {what}</h2><p>{meaning}</p>{legend(comparison, comparison.rankers)}"
        f"{_slices(comparison, seen_items, kind)}</section>"
        for kind, what, meaning in (
            (
                "training count",
                "training count of the target",
                f"Interactions with the target in training; {escape(TAIL)}: counts below {EDGES[1]} taken as "
                f"{EDGES[1]}. Square-root scale.",
            ),
            ("history length", "length of the history", "Number of items in the user's history."),
        )
        if comparison.slice_sizes(seen_items, kind)
    )
    spread = " ± is the standard deviation over seeds." if comparison.num_seeds > 1 else ""
    sliced = f'<div class="pair top">{slices}</div>' if slices else ""
    return (
        f'<div class="{seen_items}"><div class="pair">{overall}</div>{sliced}{_differences(comparison, seen_items)}'
        f"<section><h2>All figures</h2><p>Best of each column in bold.{spread} {BREADTH_IN_WORDS}.</p>"
        f'<div class="scroll" role="region" aria-label="All figures" tabindex="0">{_table(comparison, seen_items)}'
        "</div></section></div>"
    )


def _span(comparison: Comparison, figure: Figure) -> Span:
    return Span(figure.ranker, figure.value, figure.low, figure.high, series_of(comparison, figure.ranker))


def _overall(comparison: Comparison, seen_items: str, metric: str) -> str:
    spans = [_span(comparison, comparison.figure(ranker, seen_items, metric)) for ranker in comparison.rankers]
    return dot_plot(spans, title=f"{metric} of every ranker, seen items {seen_items}")


def _slices(comparison: Comparison, seen_items: str, kind: str) -> str:
    groups = [
        (
            label,
            f"{size:,} users",
            [
                _span(comparison, comparison.figure(ranker, seen_items, "ndcg@10", label, kind))
                for ranker in comparison.rankers
            ],
        )
        for label, size in comparison.slice_sizes(seen_items, kind).items()
    ]
    return grouped_bars(
        groups, title=f"NDCG@10 by {kind}, seen items {seen_items}", shows_small=kind == "training count"
    )


def _differences(comparison: Comparison, seen_items: str) -> str:
    rows = comparison.shown_differences(seen_items)
    if not rows:
        return ""
    firsts = {row.ranker for row in rows}
    one = firsts.pop() if len(firsts) == 1 and len(rows) > 1 else ""
    spans = [_difference_span(comparison, row, bool(one)) for row in rows]
    chart = dot_plot(spans, title="NDCG@10, paired by user", starts_at_zero=False)
    heading = f"Gain of {escape(one)} in NDCG@10" if one else "Differences in NDCG@10"
    return (
        f"<section><h2>{heading}</h2><p>First ranker minus second, paired by user. "
        f"Significant if the interval excludes zero, and {FEWEST_TARGETS} users or more are measured.</p>"
        f'<div class="narrow">{chart}</div></section>'
    )


def _difference_span(comparison: Comparison, row: Difference, is_first_said: bool) -> Span:
    label, ranker = (f"over {row.other}", row.other) if is_first_said else (f"{row.ranker} − {row.other}", row.ranker)
    return Span(label, row.value, row.low, row.high, series_of(comparison, ranker))


def _spread(figure: Figure) -> str:
    return f"<br>±{figure.spread:.4f}" if figure.num_seeds > 1 else ""


def _or_dash(value: float, form: str) -> str:
    return "–" if isnan(value) else format(value, form)


def _table(comparison: Comparison, seen_items: str) -> str:
    heads = "".join(f"<th>{name}</th>" for name in (*METRICS, "coverage@10", "gini@10", "popularity"))
    best = {
        metric: max(comparison.figure(ranker, seen_items, metric).value for ranker in comparison.rankers)
        for metric in METRICS
    }
    lines = []
    for ranker in comparison.rankers:
        cells = "".join(
            f"<td{' class=best' if figure.value == best[metric] else ''}>{figure.value:.4f}"
            f"<small>{figure.low:.4f}–{figure.high:.4f}{_spread(figure)}</small></td>"
            for metric in METRICS
            for figure in (comparison.figure(ranker, seen_items, metric),)
        )
        breadth = comparison.breadth(ranker, seen_items)
        num_seeds = len(comparison.details[ranker])
        seeds = f"<small>{num_seeds} seeds</small>" if num_seeds > 1 else ""
        lines.append(
            f'<tr><td class="series-{series_of(comparison, ranker)}"><span class="dot"></span>'
            f"{escape(ranker)}{seeds}</td>"
            f"{cells}"
            f"<td>{breadth.coverage:.3f}</td><td>{_or_dash(breadth.gini, '.3f')}</td>"
            f"<td>{_or_dash(breadth.mean_popularity, ',.1f')}</td></tr>"
        )
    return f"<table><thead><tr><th>ranker</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
