"""The page at / in a real browser, over a real server: search, history, recommendations, a new product, errors."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import NAMELESS, TOO_FAINT, opened_page
from tests.running_service import drawn_picture, running_process
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("playground")
    with running_process(tiny_bundle(folder / "bundle"), folder / "data") as service:
        yield service.url


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    """The page, loaded."""
    with opened_page(url) as page:
        expect(page.locator("#recommended li")).to_have_count(10)
        expect(page.locator("#grid li")).to_have_count(48)
        yield page


def cards(page: Page) -> list[str]:
    return [card.get_attribute("data-item-id") or "" for card in page.locator("#grid li").all()]


def test_the_page_opens_with_pictures_and_popular_products(page: Page) -> None:
    assert len(cards(page)) == 48
    expect(page.locator("#fallback")).to_contain_text("most popular")
    expect(page.locator("#recommended .badge").first).to_have_text("popular")
    page.wait_for_function("document.querySelector('#grid img').naturalWidth > 0")
    assert page.locator("#served").inner_text().startswith("60 products")


def test_load_more_shows_the_rest_of_the_catalogue(page: Page) -> None:
    page.get_by_role("button", name="Load more").click()
    expect(page.locator("#grid li")).to_have_count(60)
    expect(page.locator("#more")).to_be_hidden()
    assert len(set(cards(page))) == 60


def test_clicks_build_a_history_and_recommendations_follow(page: Page) -> None:
    first, second = cards(page)[:2]
    page.locator("#grid .pick").nth(0).click()
    expect(page.locator("#recommended .badge").first).to_have_text("generated")
    expect(page.locator("#fallback")).to_be_hidden()
    expect(page.locator("#recommended .rank")).to_have_text([str(rank) for rank in range(1, 11)])
    page.locator("#grid .pick").nth(1).click()
    expect(page.locator("#history li")).to_have_count(2)
    expect(page.locator("#recommended:not(.is-waiting) li")).to_have_count(10)
    recommended = {item.get_attribute("data-item-id") for item in page.locator("#recommended li").all()}
    assert not recommended & {first, second}
    expect(page.locator(".product.is-chosen")).to_have_count(2)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#history li")).to_have_count(0)
    expect(page.locator("#recommended .badge").first).to_have_text("popular")


def test_a_recommendation_can_be_added_to_the_history_and_removed(page: Page) -> None:
    taken = page.locator("#recommended li").first.get_attribute("data-item-id")
    page.locator("#recommended .take").first.click()
    expect(page.locator("#history li")).to_have_count(1)
    expect(page.locator(f"#recommended [data-item-id='{taken}']")).to_have_count(0)
    page.locator("#history button").click()
    expect(page.locator("#history li")).to_have_count(0)


def test_the_search_narrows_the_grid_and_shows_when_nothing_matches(page: Page) -> None:
    page.get_by_label("Search the catalogue").fill("item-17")
    expect(page.locator("#grid li")).to_have_count(1)
    page.get_by_label("Search the catalogue").fill("no such thing at all")
    expect(page.locator("#nothing-found")).to_be_visible()
    page.get_by_label("Search the catalogue").fill("")
    expect(page.locator("#grid li")).to_have_count(48)


def test_the_page_works_from_the_keyboard(page: Page) -> None:
    page.get_by_label("Search the catalogue").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#history li")).to_have_count(1)
    page.locator("#open-add").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#add")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#add")).to_be_hidden()


def test_a_new_product_is_in_the_grid_and_can_be_recommended(page: Page, tmp_path: Path) -> None:
    picture = tmp_path / "new.png"
    picture.write_bytes(drawn_picture(7, size=(120, 120)))
    page.get_by_role("button", name="Add a product").click()
    page.get_by_label("Title").fill("A lantern <b>for</b> the garden")
    page.get_by_label("Description").fill("Warm light, weatherproof")
    page.get_by_label("Category", exact=True).fill("lantern")
    page.get_by_label("Price", exact=True).fill("48.00")
    page.locator("#picture").set_input_files(picture)
    expect(page.locator("#preview")).to_be_visible()
    item_id = page.get_by_label("Id", exact=True).input_value()
    assert item_id.startswith("a-lantern-b-for-b-the-garden-")
    page.get_by_role("button", name="Add product").click()
    expect(page.locator("#detail")).to_be_visible()
    expect(page.locator("#detail-heading")).to_have_text("A lantern <b>for</b> the garden")
    assert page.locator("#detail .token").count() >= 1
    expect(page.locator("#detail-body")).to_contain_text("48.00")
    expect(page.locator("#detail-arrived")).to_contain_text("It can be recommended from now on")
    # This bundle keeps no users.
    expect(page.locator("#audience-text")).to_contain_text("Asked were 10 made-up shoppers, each with two")
    expect(page.locator("#audience-list .who").first).to_contain_text("somebody with")
    page.get_by_role("button", name="Load the history of somebody with").first.click()
    expect(page.locator("#history li")).to_have_count(2)
    assert cards(page)[0] == item_id
    expect(page.locator("#recommended .badge").first).to_have_text("generated")


def test_problems_are_shown_in_the_form(page: Page, tmp_path: Path) -> None:
    page.get_by_role("button", name="Add a product").click()
    page.get_by_role("button", name="Add product").click()
    expect(page.locator("#add-problem")).to_contain_text("Invalid fields")
    expect(page.get_by_label("Id", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Title").fill("Taken")
    page.get_by_label("Id", exact=True).fill("item-0")
    page.get_by_role("button", name="Add product").click()
    expect(page.locator("#add-problem")).to_contain_text("exists already")
    text = tmp_path / "text.png"
    text.write_text("no picture")
    page.locator("#picture").set_input_files(text)
    page.get_by_label("Id", exact=True).fill("fresh")
    page.get_by_role("button", name="Add product").click()
    expect(page.locator("#add-problem")).to_contain_text("Unreadable picture")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(11 * 1024 * 1024))
    page.locator("#picture").set_input_files(large)
    page.get_by_role("button", name="Add product").click()
    expect(page.locator("#add-problem")).to_contain_text("Picture: the picture is too large: got 11.0 MiB")
    expect(page.locator("#picture")).to_have_attribute("aria-invalid", "true")


def test_a_price_that_is_no_number_is_refused_in_the_form_at_its_field(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="Add a product").click()
    page.get_by_label("Title").fill("Lantern")
    page.get_by_label("Price", exact=True).fill("cheap")
    page.get_by_role("button", name="Add product").click()
    expect(page.locator("#error-price")).to_have_text("got “cheap”, expected a number such as 48.00")
    expect(page.locator("#add-problem")).to_contain_text("Price: got “cheap”")
    expect(page.get_by_label("Price", exact=True)).to_be_focused()
    assert not sent


def test_why_explains_a_recommendation(page: Page) -> None:
    page.locator("#grid .pick").nth(0).click()
    page.locator("#grid .pick").nth(3).click()
    expect(page.locator("#history li")).to_have_count(2)
    expect(page.locator("#recommended:not(.is-waiting) .badge").first).to_have_text("generated")
    why, because = page.locator("#recommended .why").first, page.locator("#recommended .because").first
    expect(why).to_have_attribute("aria-expanded", "false")
    why.focus()
    page.keyboard.press("Enter")
    expect(why).to_have_attribute("aria-expanded", "true")
    expect(because).to_contain_text(re.compile("Mostly because of “|The history as a whole"))
    page.keyboard.press("Enter")
    expect(because).to_be_hidden()


def test_filters_and_diversity_change_the_recommendations(page: Page) -> None:
    page.get_by_text("Filter and diversity").click()
    page.get_by_label("category", exact=True).select_option("mug")
    expect(page.locator("#wishes-count")).to_have_text("1 active")
    expect(page.locator("#recommended:not(.is-waiting) .title").first).to_contain_text("mug")
    page.get_by_label("price to").fill("1")
    expect(page.locator("#fallback")).to_contain_text("pass the filter")
    expect(page.locator("#recommended li")).to_have_count(0)
    page.get_by_role("button", name="Clear filter").click()
    expect(page.locator("#recommended li")).to_have_count(10)
    before = [item.get_attribute("data-item-id") for item in page.locator("#recommended li").all()]
    page.get_by_label("Diversity").fill("1")
    expect(page.locator("#diversity-shown")).to_have_text("1.0")
    expect(page.locator("#recommended:not(.is-waiting) li").nth(1)).not_to_have_attribute(
        "data-item-id", before[1] or ""
    )


def test_details_lead_to_similar_products(page: Page) -> None:
    page.get_by_label("Search the catalogue").fill("item-17")
    expect(page.locator(".product")).to_have_count(1)
    page.locator(".product .foot button").click()
    expect(page.locator("#similar li")).to_have_count(6)
    # Only the first: an item posted above has a picture alone.
    expect(page.locator("#similar .likeness").filter(has_text="words").first).to_be_visible()
    title = page.locator("#similar .title").first.inner_text()
    page.locator("#similar button").first.click()
    expect(page.locator("#detail-heading")).to_have_text(title)


def test_every_control_has_a_name_and_text_has_contrast(page: Page) -> None:
    page.get_by_text("Filter and diversity").click()
    page.locator("#recommended .why").first.click()
    page.locator(".product .foot button").first.click()
    expect(page.locator("#similar li")).to_have_count(6)
    nameless = page.evaluate(NAMELESS)
    assert nameless == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert page.evaluate(TOO_FAINT) == []


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_overflows_at_any_width(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
