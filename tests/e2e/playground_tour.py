"""A walk through the playground: first visit, a shopper's history, why, a new product, and who gets it.

The acceptance test takes it on a small bundle; `python -m tests.e2e.playground_film` takes pictures on the way.
"""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.repository import REPOSITORY

PICTURE = REPOSITORY / "docs" / "new-product.png"
TITLE = "Wedding Guest Tea Pot"
DESCRIPTION = "The tea pot that newlyweds unwrap first. Pours without a drip and holds four cups."
ASKING_MS = 120_000
"""60 lists of recommendations, on a busy machine."""

Stop = Callable[[str, Locator | None], None]
"""Called with the name of what is on screen, and what is pressed next, if anything."""


def tour(page: Page, stop: Stop, picture: Path = PICTURE) -> None:
    """Walk from the first visit to a list with the new product in it."""
    shopper = page.locator("#shopper-list button").first
    expect(page.locator("#recommended li")).to_have_count(10)
    expect(shopper).to_be_visible()
    settle(page)
    stop("first visit", shopper)
    shopper.click()
    expect(page.locator("#history li").first).to_be_visible()
    expect(page.locator("#recommended:not(.is-waiting) .badge:not(.popular)").first).to_be_visible()
    settle(page)
    why = page.locator("#recommended .why").first
    stop("history", why)
    why.click()
    expect(page.locator("#recommended .because").first).to_contain_text("because")
    add = page.get_by_role("button", name="Add a product")
    settle(page)
    stop("why", add)
    add.click()
    page.get_by_label("Title").fill(TITLE)
    page.get_by_label("Description").fill(DESCRIPTION)
    page.get_by_label("Category", exact=True).fill("teapot")
    page.get_by_label("Price", exact=True).fill("48.00")
    page.locator("#picture").set_input_files(picture)
    submit = page.get_by_role("button", name="Add product")
    stop("form", submit)
    submit.click()
    expect(page.locator("#similar li")).to_have_count(6)
    expect(page.locator("#detail-arrived")).to_be_visible()
    settle_pictures(page)
    stop("arrived", None)
    expect(page.locator("#audience-text")).to_contain_text("Asked were", timeout=ASKING_MS)
    compare = page.locator("#audience-list .secondary").first
    compare.scroll_into_view_if_needed()
    settle(page)
    stop("who gets it", compare)
    compare.click()
    expect(page.locator("#audience-lists .two .is-highlighted")).to_have_count(1)
    page.locator("#audience-lists").evaluate("lists => lists.scrollIntoView({ block: 'end' })")
    settle(page)
    load = page.locator("#audience-list .plain").first
    stop("before and after", None)
    load.click()
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator("#recommended:not(.is-waiting) li").first).to_be_visible()
    settle(page)
    new = page.locator("#recommended li", has=page.get_by_text("new", exact=True))
    if new.count():
        new.first.scroll_into_view_if_needed()
    stop("its list", None)


def settle(page: Page) -> None:
    """Wait until nothing is loading, and every picture in sight is drawn."""
    page.wait_for_load_state("networkidle")
    settle_pictures(page)


def settle_pictures(page: Page) -> None:
    """Wait until every picture in sight is drawn."""
    page.wait_for_function(
        """() => [...document.images].every((image) => {
          const { top, bottom } = image.getBoundingClientRect();
          return image.complete || !image.checkVisibility() || top > innerHeight || bottom < 0;
        })"""
    )
