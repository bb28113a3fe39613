"""Turn what is known of the runs behind a comparison into the report's charts: curves, codes, answering times.

Knows run details and where a chart stands on the page; drawing is `svg_charts`'. Start at `sections_of_runs`.
"""

from html import escape

import numpy as np

from training.comparison.comparison import Comparison
from training.comparison.style import series_of
from training.comparison.svg_charts import Bar, Line, Span, bar_rows, dot_plot, line_chart


def sections_of_runs(comparison: Comparison) -> str:
    """Answering times of all rankers; curves of those that were trained in epochs; codes of those that have codes."""
    return _curves(comparison) + f'<div class="pair top">{_latency(comparison)}{_codes(comparison)}</div>'


def legend(comparison: Comparison, rankers: tuple[str, ...]) -> str:
    """A dot and a name for each."""
    names = (
        f'<span class="series-{series_of(comparison, ranker)}"><span class="dot"></span>{escape(ranker)}</span>'
        for ranker in rankers
    )
    return f'<div class="legend">{"".join(names)}</div>'


def _latency(comparison: Comparison) -> str:
    spans = []
    for ranker in comparison.rankers:
        milliseconds = [figure for run in comparison.details[ranker] for figure in run.milliseconds]
        if milliseconds:
            low, middle, high = np.quantile(milliseconds, (0.05, 0.5, 0.95)).tolist()
            text = f"{middle:.3g} ms"
            spans.append(Span(ranker, middle, low, high, series_of(comparison, ranker), text, "5th to 95th percentile"))
    if not spans:
        return ""
    chart = dot_plot(spans, title="Milliseconds for one user's first ten items")
    return (
        "<section><h2>Time of one recommendation</h2><p>Milliseconds for one user's first ten items, on the machine "
        f"that made this table: the median, and from the 5th to the 95th percentile.</p>{chart}</section>"
    )


def _curves(comparison: Comparison) -> str:
    trained = tuple(
        ranker
        for ranker in comparison.rankers
        if any(run.curve and run.curve.losses for run in comparison.details[ranker])
    )
    if not trained:
        return ""
    sections = ""
    for title, meaning, is_loss in (
        ("Validation NDCG@10", "After each epoch; a line for each seed. The best epoch is the one kept.", False),
        ("Training loss", "Mean over an epoch, in nats; what a step asks for differs from model to model.", True),
    ):
        lines = [
            Line(
                ranker if len(comparison.details[ranker]) == 1 else f"{ranker}, seed {seed}",
                run.curve.losses if is_loss else run.curve.validation_ndcgs,
                series_of(comparison, ranker),
            )
            for ranker in trained
            for seed, run in enumerate(comparison.details[ranker])
            if run.curve
        ]
        chart = line_chart(lines, title=title, below="epochs", starts_at_zero=not is_loss)
        sections += f"<section><h2>{title}</h2><p>{meaning}</p>{legend(comparison, trained)}{chart}</section>"
    return f'<div class="pair top">{sections}</div>'


def _codes(comparison: Comparison) -> str:
    bars, said = [], []
    for ranker in comparison.rankers:
        # Codes hardly differ from seed to seed: the first stands for all.
        first = comparison.details[ranker][0]
        bars += [
            Bar(
                f"{ranker}: {category.name}",
                category.perplexity / category.size,
                series_of(comparison, ranker),
                f"{category.num_used} of {category.size}",
            )
            for category in first.categories
        ]
        if first.categories:
            said.append(f"{escape(ranker)}: {first.share_colliding:.1%}")
    if not bars:
        return ""
    return (
        "<section><h2>Use of the codes</h2><p>How evenly each codebook is used: the number of codes that would tell "
        "items apart as well if all were used equally often, as a share of all; beside it the codes in use. Items that "
        f"share all codes with another, told apart by a collision index: {'; '.join(said)}.</p>"
        f"{bar_rows(bars, title='Evenness of code use')}</section>"
    )
