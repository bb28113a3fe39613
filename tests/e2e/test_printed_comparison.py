"""The page of a comparison, opened from the disk: on paper, and with the longest names of rankers."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.browser import opened_page
from training.comparison.figures import Comparison, compare_rankings
from training.comparison.html_page import html_of
from training.comparison.run_details import RunDetails
from training.evaluation.rankings import Ranking
from training.evaluation.slices import UserSlice
from training.evaluation.split import SEEN_ITEMS

A4_WIDTH = 718
"""Between margins of a centimetre, in CSS pixels."""
RANKERS = ("popularity", "bundle retrained-20261130-030000-with-users", "سلة 🛒 recurrent")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    shown = np.zeros((3, 10), dtype=np.int32)
    rankings = {
        name: [dict.fromkeys(SEEN_ITEMS, Ranking(np.full(3, rank), shown))] for rank, name in enumerate(RANKERS)
    }
    everybody = (UserSlice("all", "all", np.ones(3, dtype=bool)),)
    measured = compare_rankings(rankings, dict.fromkeys(SEEN_ITEMS, everybody), np.array([1, 2]), num_resamples=20)
    details = {name: (RunDetails(milliseconds=(1.0, 2.0)),) for name in RANKERS}
    parts = (measured.figures, measured.differences, measured.breadths, details)
    file = tmp_path_factory.mktemp("comparison") / "report.html"
    file.write_text(html_of(Comparison("shop", "test", 3, 3, 2, 20, dict.fromkeys(RANKERS, ""), *parts)), "utf-8")
    with opened_page(file.as_uri()) as page:
        yield page


def test_no_label_of_a_chart_is_cut_off(page: Page) -> None:
    cut = page.evaluate(
        """() => [...document.querySelectorAll('svg text')]
          .filter((text) => text.checkVisibility() && text.getBBox().x < -1)
          .map((text) => text.textContent)"""
    )
    assert cut == []


def test_on_paper_the_table_is_whole_and_colours_tell_the_rankers_apart(page: Page) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4_WIDTH, "height": 1000})
    scroll = page.get_by_role("region", name="All figures")
    assert page.evaluate("document.documentElement.scrollWidth") <= A4_WIDTH
    assert scroll.evaluate("(table) => table.scrollWidth <= table.clientWidth")
    dot = page.locator("td .dot:visible").first
    assert dot.evaluate("(dot) => getComputedStyle(dot).printColorAdjust") == "exact"
    page.emulate_media(media="screen")
