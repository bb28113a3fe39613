"""The playground of a service that knows shoppers: a first visit, two bundles, a new product, away and back."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from clairo_core.bundle.bundle_users import keep_users
from clairo_core.bundle.manifest import read_manifest
from tests.browser import TOO_FAINT, opened_page, serious_faults
from tests.e2e.playground_tour import tour
from tests.running_service import drawn_picture, running_process
from tests.tiny import random_sequences, tiny_bundle

NUM_SHOPPERS = 8
PHONE = {"width": 390, "height": 780}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("moment")
    shoppers = keep_users([f"shopper-{row}" for row in range(NUM_SHOPPERS)], random_sequences(60, NUM_SHOPPERS))
    bundle = tiny_bundle(folder / "bundle", users=shoppers)
    second = read_manifest(tiny_bundle(folder / "second", seed=1)).bundle_id
    settings = {"CLAIRO_EXPERIMENT": f"compare:0:{second}"}
    with running_process(bundle, folder / "data", settings=settings) as service:
        yield service.url


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    """The page, loaded with its sample shoppers."""
    with opened_page(url) as page:
        loaded(page)
        yield page


def loaded(page: Page) -> None:
    expect(page.locator("#recommended li")).to_have_count(10)
    expect(page.locator("#shopper-list li")).to_have_count(3)


def test_the_walk_of_a_first_visit_logs_no_error_and_has_no_serious_fault_in_either_scheme(url: str) -> None:
    faults: list[str] = []

    def check(name: str, _: Locator | None) -> None:
        if name in ("why", "form", "before and after"):
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                found = [*serious_faults(page), *page.evaluate(TOO_FAINT)]
                faults.extend(f"{name}, {scheme}: {fault}" for fault in found)

    with opened_page(url, logs_errors=False) as page:
        # No transition between the schemes is measured half-way.
        page.emulate_media(reduced_motion="reduce")
        tour(page, check)
    assert faults == []


def test_a_sample_shopper_is_one_click_and_the_url_keeps_the_history(page: Page) -> None:
    first = page.locator("#shopper-list button").first
    count = int(re.findall(r": (\d+) products", first.get_attribute("aria-label") or "")[0])
    first.click()
    expect(page.locator("#history li")).to_have_count(count)
    titles = page.locator("#history li").evaluate_all("entries => entries.map((entry) => entry.title)")
    page.reload()
    expect(page.locator("#history li")).to_have_count(count)
    assert page.locator("#history li").evaluate_all("entries => entries.map((entry) => entry.title)") == titles
    page.get_by_role("button", name="Show other sample shoppers").click()
    expect(page.locator("#shopper-list button").first).to_contain_text("shopper-3")
    page.get_by_role("button", name="Clear history").click()
    assert "?" not in page.url


def test_a_link_with_a_product_that_left_shows_how_many_are_missing(page: Page, url: str) -> None:
    page.goto(f"{url}/?item=item-1&item=gone")
    expect(page.locator("#history li")).to_have_count(1)
    expect(page.locator("#history-missing")).to_have_text("1 product of this history left the catalogue.")


def test_two_bundles_stand_side_by_side_for_the_same_history(page: Page, url: str) -> None:
    page.locator("#grid .pick").first.click()
    page.get_by_role("button", name="Compare two bundles").click()
    expect(page.locator("#compare .two section")).to_have_count(2)
    expect(page.locator("#compare .two li")).to_have_count(20)
    answering = page.request.get(f"{url}/info").json()["answering_bundle_ids"]
    assert page.locator("#compare h4").all_inner_texts() == answering
    expect(page.locator("#compare-text")).to_contain_text("of 10 products are in both lists")
    only_left, only_right = (page.locator("#compare section").nth(side).locator(".badge") for side in (0, 1))
    assert only_left.count() == only_right.count() > 0


def place_at(page: Page, item_id: str, rank: int) -> None:
    """Answer each list of shoppers with the item at this rank, unless it is left out."""

    def answer(route: Route) -> None:
        changed = route.fetch().json()
        for result, body in zip(changed["results"], route.request.post_data_json["requests"], strict=True):
            items = [item for item in result["recommendation"]["items"] if item["item_id"] != item_id]
            if item_id not in body.get("exclude_item_ids", ()):
                items.insert(rank - 1, {**items[0], "item_id": item_id})
            result["recommendation"]["items"] = [{**item, "rank": place} for place, item in enumerate(items, 1)]
        route.fulfill(json=changed)

    page.route("**/recommend/batch", answer)


def add_product(page: Page, title: str, picture: Path) -> None:
    picture.write_bytes(drawn_picture(9, size=(96, 96)))
    page.get_by_role("button", name="Add a product").click()
    page.get_by_label("Title").fill(title)
    page.get_by_label("Id", exact=True).fill(title.lower().replace(" ", "-"))
    page.locator("#picture").set_input_files(picture)
    page.get_by_role("button", name="Add product").click()


def test_a_product_in_nobodys_first_ten_shows_its_best_place(page: Page, tmp_path: Path) -> None:
    place_at(page, "late-lamp", 13)
    add_product(page, "Late lamp", tmp_path / "lamp.png")
    expect(page.locator("#audience-text")).to_contain_text("In nobody's first ten yet. Its best place is 13.")
    expect(page.locator("#audience-list .place")).to_have_text("place 13")
    expect(page.locator("#similar li")).to_have_count(6)
    assert page.locator("#tokens .code.is-shared").count() >= 1


def test_the_page_waits_for_the_service_and_repeats_what_failed(page: Page) -> None:
    page.context.set_offline(True)
    page.locator("#grid .pick").first.click()
    expect(page.locator("#banner")).to_contain_text("The service cannot be reached. This page tries again")
    page.context.set_offline(False)
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#recommended:not(.is-waiting) .badge").first).to_have_text("generated")


def test_a_product_sent_while_the_service_is_away_is_added_once_it_is_back(page: Page, tmp_path: Path) -> None:
    page.context.set_offline(True)
    add_product(page, "Patient pot", tmp_path / "pot.png")
    expect(page.locator("#add-problem")).to_contain_text("The form is sent again once it answers.")
    page.context.set_offline(False)
    expect(page.locator("#detail-heading")).to_have_text("Patient pot")
    expect(page.locator("#banner")).to_be_hidden()


def test_the_phone_says_that_recommendations_changed_and_jumps_there(page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    product = page.locator("#grid .pick").nth(9)
    product.scroll_into_view_if_needed()
    expect(page.locator("#recommended")).not_to_be_in_viewport()
    product.click()
    bar = page.get_by_role("button", name="Recommendations changed Show")
    expect(bar).to_be_visible()
    bar.click()
    expect(page.locator("#recommended")).to_be_in_viewport()
    expect(page.locator("#recommendations")).to_be_focused()
    expect(bar).to_be_hidden()


def test_all_of_it_works_from_the_keyboard_alone(page: Page, tmp_path: Path) -> None:
    def press_until(selector: str, key: str = "Tab") -> None:
        for _ in range(400):
            page.keyboard.press(key)
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"{key} never reaches {selector}")

    press_until("#grid .pick")
    ring, inner = "getComputedStyle(document.activeElement.closest('.product')).outlineWidth", "outlineStyle"
    assert page.evaluate(ring) == "3px"
    assert page.evaluate(f"getComputedStyle(document.activeElement).{inner}") == "none"
    page.keyboard.press("Enter")
    expect(page.locator("#history li")).to_have_count(1)
    page.locator("#clear").focus()
    press_until(".shopper")
    page.keyboard.press("Enter")
    expect(page.locator("#history li")).not_to_have_count(1)
    press_until(".take")
    page.keyboard.press("Enter")
    expect(page.locator("#recommended:not(.is-waiting)")).to_be_visible()
    expect(page.locator("#recommended .take").first).to_be_focused()
    press_until(".why")
    page.keyboard.press("Enter")
    expect(page.locator("#recommended .because").first).to_contain_text("because")
    page.locator("#query").focus()
    press_until("#open-add")
    page.keyboard.press("Enter")
    page.keyboard.type("Keyboard kettle")
    press_until("[name=item_id]")
    page.keyboard.press("Control+A")
    page.keyboard.type("kettle")
    place_at(page, "kettle", 3)
    press_until("#add-submit")
    page.keyboard.press("Enter")
    expect(page.locator("#audience-text")).to_contain_text(f"In the first ten of {NUM_SHOPPERS} shoppers now.")
    press_until("#audience-list .secondary")
    page.keyboard.press("Enter")
    expect(page.locator("#audience-lists")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()


def test_nothing_moves_where_motion_is_unwanted(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.locator("#grid .pick").first.click()
    arriving = page.locator("#recommended .is-arriving").first
    expect(arriving).to_be_visible()
    assert arriving.evaluate("row => getComputedStyle(row).animationName") == "none"
