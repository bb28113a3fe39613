"""Labels of rows that are longer than a chart has room for."""

import re

import pytest

from training.comparison.svg_charts import Bar, Span, bar_rows, dot_plot

DIFFERENCE = "retrained-20261130-030000 − retrained-20261123-030000"


def span(label: str) -> Span:
    return Span(label, 0.2, 0.1, 0.3, series=0)


@pytest.mark.parametrize(
    "chart", [dot_plot([span(DIFFERENCE)], title=""), bar_rows([Bar(DIFFERENCE, 0.5, 0, "")], title="")]
)
def test_a_long_label_is_narrowed_to_the_room_left_of_the_axis(chart: str) -> None:
    ((right, room, text),) = re.findall(r'x="([\d.]+)"[^>]*textLength="([\d.]+)"[^>]*>([^<]*)', chart)
    assert float(room) <= float(right)
    assert text == DIFFERENCE


def test_a_label_that_fits_keeps_its_letters_width() -> None:
    assert "textLength" not in dot_plot([span("popularity"), span("bundle-of-thirty-three-characters")], title="")
