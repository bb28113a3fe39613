"""Write charts for papers: each as NAME.pdf, drawn by matplotlib, with its values in NAME.csv.

The page's SVG charts take the same figures. Start at `charts_of`.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float32
from matplotlib.axes import Axes
from matplotlib.figure import Figure as PaperFigure
from matplotlib.ticker import MaxNLocator

from clairo_core.bundle.bundle import Bundle
from clairo_core.storage.replaced_file import replaced_file
from training.comparison.figures import Comparison, Figure
from training.comparison.page_style import SERIES_COLORS, series_of
from training.comparison.run_details import CategoryUse, Curve
from training.report.item_map import ItemMap

WIDTH, HEIGHT = 3.4, 2.4
"""Inches: a column of a paper."""
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    # Type 42 keeps text as text, which publishers ask for.
    "pdf.fonttype": 42,
}

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PaperChart:
    """One chart."""

    name: str
    """Of its files."""
    rows: Sequence[Row]
    """The lines of the CSV file; all have the same columns."""
    draw: Callable[[Axes], None]
    height: float = HEIGHT


def charts_of(comparison: Comparison, item_map: ItemMap | None, bundle: Bundle) -> list[PaperChart]:
    """The charts that the bundle has figures for."""
    charts = []
    if comparison.modes:
        # As a shop recommends: seen items left out, where a user has a target then.
        mode = comparison.modes[-1]
        shown = [figure for figure in comparison.figures if figure.seen_items == mode]
        charts.append(_quality(comparison, [figure for figure in shown if figure.slice_kind == "all"]))
        for name, kind in (("training-count", "training count"), ("history-length", "history length")):
            of_kind = [figure for figure in shown if figure.slice_kind == kind]
            charts += [_sliced(comparison, name, kind, of_kind)] if of_kind else []
    curves = {
        ranker: run.curve for ranker, (run,) in comparison.details.items() if run.curve is not None and run.curve.losses
    }
    if curves:
        charts.append(_curves(comparison, "training-loss", "training loss", curves, lambda curve: curve.losses))
    if any(curve.validation_ndcgs for curve in curves.values()):
        charts.append(
            _curves(comparison, "validation", "validation NDCG@10", curves, lambda curve: curve.validation_ndcgs)
        )
    for (run,) in comparison.details.values():
        charts += [_codebooks(run.categories)] if run.categories else []
    searches = _searches(comparison)
    charts += [] if searches is None else [searches]
    return charts if item_map is None else [*charts, _map(item_map, bundle)]


def write_charts(folder: Path, charts: Sequence[PaperChart]) -> None:
    """Write NAME.pdf and NAME.csv of every chart, each replaced whole."""
    folder.mkdir(exist_ok=True)
    for chart in charts:
        with (
            replaced_file(folder / f"{chart.name}.csv") as aside,
            aside.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(chart.rows[0]))
            writer.writeheader()
            writer.writerows(chart.rows)
        with replaced_file(folder / f"{chart.name}.pdf") as aside, mpl.rc_context(rc=STYLE):
            paper = PaperFigure(figsize=(WIDTH, chart.height), layout="constrained")
            chart.draw(paper.add_subplot())
            # Without a date, the same bundle gives the same file.
            paper.savefig(aside, format="pdf", metadata={"CreationDate": None})


def _colour(comparison: Comparison, ranker: str) -> str:
    return SERIES_COLORS[series_of(comparison, ranker)][0]


def _quality(comparison: Comparison, figures: Sequence[Figure]) -> PaperChart:
    ndcgs = [figure for figure in figures if figure.metric == "ndcg@10"]

    def draw(axes: Axes) -> None:
        for place, figure in enumerate(reversed(ndcgs)):
            colour = _colour(comparison, figure.ranker)
            axes.plot([figure.low, figure.high], [place, place], color=colour, linewidth=4, alpha=0.4)
            axes.plot(figure.value, place, "o", color=colour)
        axes.set_yticks(range(len(ndcgs)), [figure.ranker for figure in reversed(ndcgs)])
        axes.set(xlabel="NDCG@10", xlim=(0, None), ylim=(-0.6, len(ndcgs) - 0.4))

    rows = [
        {"ranker": figure.ranker, "metric": figure.metric, "users": figure.num_users, **_span_of(figure)}
        for figure in figures
    ]
    return PaperChart("quality", rows, draw, 0.6 + 0.3 * len(ndcgs))


def _span_of(figure: Figure) -> dict[str, float]:
    return {"value": figure.value, "low": figure.low, "high": figure.high}


def _sliced(comparison: Comparison, name: str, kind: str, figures: Sequence[Figure]) -> PaperChart:
    labels = list(dict.fromkeys(figure.slice_label for figure in figures))

    def draw(axes: Axes) -> None:
        width = 0.8 / len(comparison.rankers)
        for place, (ranker, of_ranker) in enumerate(_by_ranker(comparison, figures)):
            at = [labels.index(figure.slice_label) + (place + 0.5) * width - 0.4 for figure in of_ranker]
            axes.bar(at, [figure.value for figure in of_ranker], width, color=_colour(comparison, ranker), label=ranker)
            axes.vlines(at, [f.low for f in of_ranker], [f.high for f in of_ranker], color="black", linewidth=0.6)
        axes.set_xticks(range(len(labels)), labels)
        axes.set(xlabel=f"{kind}{' of the target' if kind == 'training count' else ''}", ylabel="NDCG@10")
        _legend(axes)

    rows = [
        {"ranker": figure.ranker, kind: figure.slice_label, "users": figure.num_users, **_span_of(figure)}
        for figure in figures
    ]
    return PaperChart(name, rows, draw)


def _by_ranker(comparison: Comparison, figures: Sequence[Figure]) -> list[tuple[str, list[Figure]]]:
    ordered = sorted(figures, key=lambda figure: comparison.rankers.index(figure.ranker))
    return [(ranker, list(of_ranker)) for ranker, of_ranker in groupby(ordered, lambda figure: figure.ranker)]


def _curves(
    comparison: Comparison,
    name: str,
    label: str,
    curves: Mapping[str, Curve],
    values_of: Callable[[Curve], Sequence[float]],
) -> PaperChart:
    values = {ranker: values_of(curve) for ranker, curve in curves.items() if values_of(curve)}

    def draw(axes: Axes) -> None:
        for ranker, of_ranker in values.items():
            epochs = range(1, len(of_ranker) + 1)
            axes.plot(epochs, of_ranker, color=_colour(comparison, ranker), label=ranker, linewidth=1.2)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(axes)

    rows = [
        {"ranker": ranker, "epoch": epoch, label: value}
        for ranker, of_ranker in values.items()
        for epoch, value in enumerate(of_ranker, 1)
    ]
    return PaperChart(name, rows, draw)


def _legend(axes: Axes) -> None:
    # Above the axes, where it covers no value.
    axes.legend(fontsize=6, loc="lower center", bbox_to_anchor=(0.45, 1), ncols=4, columnspacing=1, handlelength=1.2)


def _codebooks(categories: Sequence[CategoryUse]) -> PaperChart:
    def draw(axes: Axes) -> None:
        shares = [one.perplexity / one.size for one in reversed(categories)]
        axes.barh(range(len(categories)), shares, color=SERIES_COLORS[3][0])
        axes.set_yticks(range(len(categories)), [one.name for one in reversed(categories)])
        axes.set(xlabel="perplexity as a share of the codes", xlim=(0, 1))

    rows = [
        {
            "codebook": one.name,
            "codes": one.size,
            "used": one.num_used,
            "entropy in bits": float(np.log2(one.perplexity)),
            "perplexity": one.perplexity,
        }
        for one in categories
    ]
    return PaperChart("codebooks", rows, draw, 0.7 + 0.16 * len(categories))


def _searches(comparison: Comparison) -> PaperChart | None:
    points = [point for (run,) in comparison.details.values() for point in run.searches]
    if not points:
        return None

    def draw(axes: Axes) -> None:
        milliseconds = [point.milliseconds for point in points]
        ndcgs, errors = [point.ndcg_at_10 for point in points], [point.standard_error for point in points]
        axes.errorbar(milliseconds, ndcgs, errors, fmt="o", color=SERIES_COLORS[3][0], markersize=4, elinewidth=0.8)
        for point in points:
            place = (point.milliseconds, point.ndcg_at_10)
            axes.annotate(point.label, place, (4, 4), textcoords="offset points", fontsize=6)
        axes.set(xlabel="milliseconds", ylabel="NDCG@10", xlim=(0, max(milliseconds) * 1.5))

    rows = [
        {
            "views": point.num_views,
            "beams": point.num_beams,
            "qualities": " ".join(point.chosen_for),
            "milliseconds": point.milliseconds,
            "ndcg@10": point.ndcg_at_10,
            "standard error": point.standard_error,
        }
        for point in points
    ]
    return PaperChart("searches", rows, draw)


def _map(item_map: ItemMap, bundle: Bundle) -> PaperChart:
    counts = bundle.popularity[item_map.rows]

    def draw(axes: Axes) -> None:
        _scattered(axes, item_map.places[counts > 0], SERIES_COLORS[3][0], "in training")
        if (counts == 0).any():
            _scattered(axes, item_map.places[counts == 0], SERIES_COLORS[10][0], "new")
            axes.legend(fontsize=6, markerscale=2)
        # Downwards, as on the page.
        axes.set(aspect="equal", ylim=axes.get_ylim()[::-1])
        axes.set_axis_off()

    rows = [
        {"item_id": bundle.items[row].item_id, "title": bundle.items[row].title, "x": x, "y": y, "interactions": count}
        for row, (x, y), count in zip(item_map.rows.tolist(), item_map.places.tolist(), counts.tolist(), strict=True)
    ]
    return PaperChart("map", rows, draw, 0.3 + WIDTH * float(item_map.places[:, 1].max()))


def _scattered(axes: Axes, places: Float32[np.ndarray, "item 2"], colour: str, label: str) -> None:
    # As pixels: twenty thousand vectors make viewers slow.
    axes.scatter(places[:, 0], places[:, 1], s=2, color=colour, label=label, linewidths=0, rasterized=True)
