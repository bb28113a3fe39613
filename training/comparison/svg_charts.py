"""Draw values as inline SVG: dots with intervals, groups of bars, rows of bars, lines, and scattered dots.

Independent of rankers and metrics. Colours are the CSS classes `series-0`, `series-1`, ..., which the page sets for
light and dark.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from clairo_core.values.counted import counted

WIDTH = 540
ROW_HEIGHT = 34
TOP = 10
AXIS_HEIGHT = 30
BAR_CHART_HEIGHT = 260
LINE_CHART_HEIGHT = 240
BAR_ROW_HEIGHT = 24
MAX_BAR_WIDTH = 24
LETTER_WIDTH = 6.9


@dataclass(frozen=True, slots=True)
class Span:
    """A value and its interval."""

    label: str
    value: float
    low: float
    high: float
    series: int
    """Index of the colour."""
    text: str | None = None
    """Shown behind the row instead of the value."""
    interval: str = "95%"
    """Meaning of low to high."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A share of 1, with a text behind it."""

    label: str
    share: float
    series: int
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """Values at 1, 2, 3, ..."""

    label: str
    values: Sequence[float]
    series: int


@dataclass(frozen=True, slots=True)
class Dot:
    """A value `y` with its interval, at `x`."""

    label: str
    x: float
    y: float
    low: float
    high: float
    series: int


def dot_plot(spans: Sequence[Span], *, title: str, starts_at_zero: bool = True) -> str:
    """Draw one row per span: a dot on its interval, over a shared axis with a firm line at zero."""
    lows, highs = [span.low for span in spans], [span.high for span in spans]
    first = 0.0 if starts_at_zero else min(0.0, *lows)
    ticks = nice_ticks(first, max(1e-9 if starts_at_zero else 0.0, *highs))
    left = min(260.0, 28 + LETTER_WIDTH * max(len(span.label) for span in spans))
    right = WIDTH - 76
    height = TOP + ROW_HEIGHT * len(spans) + AXIS_HEIGHT
    bottom = height - AXIS_HEIGHT

    def x(value: float) -> float:
        return left + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (right - left)

    parts = [_open(height, title)]
    for tick in ticks:
        kind = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    for row, span in enumerate(spans):
        y = TOP + ROW_HEIGHT * (row + 0.5)
        shown = signed(span.value, starts_at_zero) if span.text is None else span.text
        parts.append(
            f'<g class="series-{span.series}"><title>{_in_words(span)}</title>'
            f'<rect class="hover" x="0" y="{y - ROW_HEIGHT / 2:.1f}" width="{WIDTH}" height="{ROW_HEIGHT}"/>'
            f"{_label(span.label, left - 14, y + 4)}"
            f'<line class="interval" x1="{x(span.low):.1f}" x2="{x(span.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle cx="{x(span.value):.1f}" cy="{y:.1f}" r="5.5"/>'
            f'<text class="value" x="{right + 12}" y="{y + 4:.1f}">{escape(shown)}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def grouped_bars(groups: Sequence[tuple[str, str, Sequence[Span]]], *, title: str, shows_small: bool = False) -> str:
    """Draw groups of bars with intervals; a group is its label, a second line, and its bars.

    With `shows_small` the scale is a square root, to compare bars of a hundredth of the highest.
    """
    highest = max(1e-9, *(span.high for _, _, spans in groups for span in spans))
    ticks = nice_ticks(0.0, highest)
    power = 0.5 if shows_small else 1.0
    if shows_small:
        ticks = [0.0, *(ticks[1] * share for share in (0.05, 0.25)), *ticks[1:]]
    left, bottom = 44, BAR_CHART_HEIGHT
    group_width = (WIDTH - left) / len(groups)

    def y(value: float) -> float:
        return bottom - math.pow(max(value, 0.0) / ticks[-1], power) * (bottom - TOP)

    parts = [_open(BAR_CHART_HEIGHT + 48, title)]
    for tick in ticks:
        kind = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(f'<line class="{kind}" x1="{left}" x2="{WIDTH}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for group, (label, below, spans) in enumerate(groups):
        middle = left + group_width * (group + 0.5)
        width = min(MAX_BAR_WIDTH, group_width * 0.8 / len(spans))
        for place, span in enumerate(spans):
            x = middle + (place - len(spans) / 2) * width
            parts.append(
                f'<g class="series-{span.series}"><title>{escape(label)}, {_in_words(span)}</title>'
                f'<rect class="bar" x="{x + 1:.1f}" y="{y(span.value):.1f}" width="{width - 2:.1f}" '
                f'height="{max(bottom - y(span.value), 0.0):.1f}" rx="2"/>'
                f'<line class="whisker" x1="{x + width / 2:.1f}" x2="{x + width / 2:.1f}" '
                f'y1="{y(span.low):.1f}" y2="{y(span.high):.1f}"/></g>'
            )
        parts.append(
            f'<text class="label" x="{middle:.1f}" y="{bottom + 20}" text-anchor="middle">{escape(label)}</text>'
            f'<text class="tick" x="{middle:.1f}" y="{bottom + 38}" text-anchor="middle">{escape(below)}</text>'
        )
    return "".join([*parts, "</svg>"])


def bar_rows(bars: Sequence[Bar], *, title: str) -> str:
    """Draw one row per bar, full at 1."""
    left = min(260.0, 28 + LETTER_WIDTH * max(len(bar.label) for bar in bars))
    right = WIDTH - 28 - LETTER_WIDTH * max(len(bar.text) for bar in bars)
    parts = [_open(TOP + BAR_ROW_HEIGHT * len(bars) + TOP, title)]
    for row, bar in enumerate(bars):
        y = TOP + BAR_ROW_HEIGHT * (row + 0.5)
        width = (right - left) * min(max(bar.share, 0.0), 1.0)
        parts.append(
            f'<g class="series-{bar.series}"><title>{escape(f"{bar.label}: {bar.share:.1%}, {bar.text}")}</title>'
            f"{_label(bar.label, left - 14, y + 4)}"
            f'<rect class="ground" x="{left:.1f}" y="{y - 6:.1f}" width="{right - left:.1f}" height="12" rx="2"/>'
            f'<rect class="bar" x="{left:.1f}" y="{y - 6:.1f}" width="{width:.1f}" height="12" rx="2"/>'
            f'<text class="value" x="{right + 12:.1f}" y="{y + 4:.1f}">{escape(bar.text)}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def line_chart(lines: Sequence[Line], *, title: str, step: str, starts_at_zero: bool) -> str:
    """Draw lines over 1, 2, 3, ...; `step` is the noun of one, such as "epoch". At least one line has a value."""
    values = [value for line in lines for value in line.values]
    ticks = nice_ticks(0.0 if starts_at_zero else min(values), max(values))
    longest = max(len(line.values) for line in lines)
    left, right, bottom = 52, WIDTH - 10, LINE_CHART_HEIGHT

    def x(place: int) -> float:
        return left + (right - left) * ((place - 1) / (longest - 1) if longest > 1 else 0.5)

    def y(value: float) -> float:
        return bottom - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (bottom - TOP)

    parts = [_open(LINE_CHART_HEIGHT + 46, title)]
    for tick in ticks:
        kind = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(f'<line class="{kind}" x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for place in sorted({1, longest, *(round(tick) for tick in nice_ticks(1, longest) if 1 < tick < longest)}):
        # A tick too near the last would overlap it.
        if place == longest or x(longest) - x(place) > 24:
            parts.append(f'<text class="tick" x="{x(place):.1f}" y="{bottom + 18}" text-anchor="middle">{place}</text>')
    parts.append(f'<text class="tick" x="{(left + right) / 2}" y="{bottom + 38}" text-anchor="middle">{step}s</text>')
    for line in lines:
        points = [f"{x(place):.1f},{y(value):.1f}" for place, value in enumerate(line.values, 1)]
        if points:
            last = f"{line.label}: {line.values[-1]:.4f} after {counted(len(points), step)}"
            end_x, end_y = points[-1].split(",")
            parts.append(
                f'<g class="series-{line.series}"><title>{escape(last)}</title>'
                f'<polyline points="{" ".join(points)}"/><circle cx="{end_x}" cy="{end_y}" r="3.5"/></g>'
            )
    return "".join([*parts, "</svg>"])


def scatter(dots: Sequence[Dot], *, title: str, below: str) -> str:
    """Draw labelled dots with upright intervals; `below` labels the axis of `x`, which starts at zero."""
    x_ticks = nice_ticks(0.0, max(dot.x for dot in dots))
    y_ticks = nice_ticks(min(dot.low for dot in dots), max(dot.high for dot in dots))
    left, right, bottom = 60, WIDTH - 10, LINE_CHART_HEIGHT

    def x(value: float) -> float:
        return left + value / x_ticks[-1] * (right - left)

    def y(value: float) -> float:
        return bottom - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - TOP)

    parts = [_open(LINE_CHART_HEIGHT + 46, title)]
    for tick in y_ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text class="tick" x="{(left + right) / 2}" y="{bottom + 38}" text-anchor="middle">{below}</text>')
    for dot in dots:
        anchor, aside = ("start", 9) if x(dot.x) < (left + right) / 2 else ("end", -9)
        words = f"{dot.label}: {dot.y:.4f} ({dot.low:.4f} to {dot.high:.4f}), {dot.x:.3g} {below}"
        parts.append(
            f'<g class="series-{dot.series}"><title>{escape(words)}</title>'
            f'<line class="whisker" x1="{x(dot.x):.1f}" x2="{x(dot.x):.1f}" y1="{y(dot.low):.1f}" '
            f'y2="{y(dot.high):.1f}"/><circle cx="{x(dot.x):.1f}" cy="{y(dot.y):.1f}" r="5"/>'
            f'<text class="label" x="{x(dot.x) + aside:.1f}" y="{y(dot.y) - 8:.1f}" text-anchor="{anchor}">'
            f"{escape(dot.label)}</text></g>"
        )
    return "".join([*parts, "</svg>"])


def nice_ticks(low: float, high: float) -> list[float]:
    """Find about five round numbers that enclose both ends.

    >>> nice_ticks(0, 0.13)
    [0.0, 0.05, 0.1, 0.15]
    """
    rough = max((high - low) / 4, 1e-12)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, max(last, first + 1) + 1)]


def signed(value: float, is_plain: bool) -> str:
    """Four decimals, with a plus sign unless plain."""
    return f"{value:.4f}" if is_plain else f"{value:+.4f}"


def _label(label: str, right: float, y: float) -> str:
    """A row's label up to `right`, narrowed where it would begin outside the picture."""
    narrowed = f' textLength="{right:.0f}" lengthAdjust="spacingAndGlyphs"' if LETTER_WIDTH * len(label) > right else ""
    return f'<text class="label" x="{right:.1f}" y="{y:.1f}" text-anchor="end"{narrowed}>{escape(label)}</text>'


def _in_words(span: Span) -> str:
    return escape(f"{span.label}: {span.value:.4f} ({span.interval} {span.low:.4f} to {span.high:.4f})")


def _open(height: float, title: str) -> str:
    # Focusable, so that arrow keys scroll a chart that is wider than a phone.
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}" tabindex="0">'
