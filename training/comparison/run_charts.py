"""Turn run details into the report's sections on training curves, use of codes, answering times and searches.

Start at `sections_of_runs`.
"""

from html import escape

import numpy as np

from training.comparison.figures import Comparison
from training.comparison.page_style import series_of
from training.comparison.svg_charts import Bar, Dot, Line, Span, bar_rows, dot_plot, line_chart, scatter


def sections_of_runs(comparison: Comparison) -> str:
    """Training curves of rankers trained in epochs, answering times of all, use of codes and searches of bundles."""
    others = _latency(comparison) + _codes(comparison) + _searches(comparison)
    return _curves(comparison) + (f'<div class="pair top">{others}</div>' if others else "")


def legend(comparison: Comparison, rankers: tuple[str, ...]) -> str:
    """A coloured dot and the name of each ranker."""
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
            text = f"{middle:.{2 if middle < 1 else 3}g} ms"
            spans.append(Span(ranker, middle, low, high, series_of(comparison, ranker), text, "5th to 95th percentile"))
    if not spans:
        return ""
    chart = dot_plot(spans, title="Milliseconds per recommendation of ten items")
    return (
        "<section><h2>Latency</h2><p>Milliseconds to recommend ten items to one user, on the machine that ran this "
        f"comparison: median, and 5th to 95th percentile.</p>{chart}</section>"
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
        ("Validation NDCG@10", "After each epoch, one line per seed. The best epoch is kept.", False),
        (
            "Training loss",
            "Mean over an epoch, in nats. Not comparable between models: their training tasks differ.",
            True,
        ),
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
        if not any(line.values for line in lines):
            # Without held-out users nothing is validated.
            continue
        chart = line_chart(lines, title=title, step="epoch", starts_at_zero=not is_loss)
        sections += f"<section><h2>{title}</h2><p>{meaning}</p>{legend(comparison, trained)}{chart}</section>"
    return f'<div class="pair top">{sections}</div>'


def _codes(comparison: Comparison) -> str:
    bars, colliding = [], []
    for ranker in comparison.rankers:
        # Codes hardly differ between seeds: show the first.
        first = comparison.details[ranker][0]
        bars += [
            Bar(
                f"{ranker}: {category.name}",
                category.perplexity / category.size,
                series_of(comparison, ranker),
                f"{category.num_used} of {category.size}, {np.log2(category.perplexity):.1f} bits",
            )
            for category in first.categories
        ]
        if first.categories:
            colliding.append(f"{escape(ranker)}: {first.share_colliding:.1%}")
    if not bars:
        return ""
    return (
        "<section><h2>Use of the codes</h2><p>Perplexity of each codebook as a share of its size (1 if all codes are "
        "used equally often), the number of codes in use, and their entropy. Share of items that only the collision "
        f"index distinguishes: {'; '.join(colliding)}.</p>"
        f"{bar_rows(bars, title='Perplexity of each codebook as a share of its size')}</section>"
    )


def _searches(comparison: Comparison) -> str:
    # The first seed's: points and labels of several would lie on each other.
    searching = tuple(ranker for ranker in comparison.rankers if comparison.details[ranker][0].searches)
    dots = [
        Dot(
            search.label,
            search.milliseconds,
            search.ndcg_at_10,
            search.ndcg_at_10 - search.standard_error,
            search.ndcg_at_10 + search.standard_error,
            series_of(comparison, ranker),
        )
        for ranker in searching
        for search in comparison.details[ranker][0].searches
    ]
    if not dots:
        return ""
    chart = scatter(dots, title="NDCG@10 and milliseconds of each search", below="milliseconds")
    return (
        "<section><h2>Searches</h2><p>Views and beams that training measured on validation users, seen items masked: "
        "NDCG@10, plus and minus a standard error of the difference to the best, and the median time of a request on "
        "the machine that trained. The service searches as chosen for the quality of each request.</p>"
        f"{legend(comparison, searching)}{chart}</section>"
    )
