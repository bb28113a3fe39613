"""The reference at /docs in a real browser, below a path prefix: every call, tried out, and no other host."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import opened_page
from tests.running_service import running_process
from tests.tiny import tiny_bundle

PREFIX = "/shop/recommender"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("reference")
    with running_process(tiny_bundle(folder / "bundle"), folder / "data", "--root-path", PREFIX) as service:
        yield f"{service.url}{PREFIX}"


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    with opened_page(f"{url}/docs", others=[url]) as page:
        expect(page.locator(".opblock").first).to_be_visible()
        yield page


def call(page: Page, operation_id: str) -> Page:
    page.locator(f"[id$='-{operation_id}'] .opblock-summary-control").click()
    return page


def test_every_call_is_listed_and_can_be_filtered_by_resource(page: Page) -> None:
    assert page.locator(".opblock").count() >= 20
    page.get_by_placeholder("Filter by tag or path").fill("bundles")
    expect(page.locator(".opblock")).to_have_count(4)


def test_a_call_can_be_tried_with_its_example(page: Page, url: str) -> None:
    call(page, "recommend").get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table").get_by_role("cell", name="200", exact=True)).to_be_visible()
    expect(page.locator(".request-url")).to_contain_text(f"{url}/recommend")


def test_a_link_to_a_call_opens_it(page: Page, url: str) -> None:
    page.goto(f"{url}/docs#/items/list_items")
    page.reload()
    expect(page.locator("[id$='-list_items'] .opblock-body")).to_be_visible()


def test_the_playground_works_below_the_prefix_and_links_to_the_reference(page: Page, url: str) -> None:
    page.goto(f"{url}/")
    expect(page.locator("#recommended li")).to_have_count(10)
    page.wait_for_function("document.querySelector('#grid img').naturalWidth > 0")
    page.get_by_role("link", name="API reference").click()
    expect(page.locator(".opblock").first).to_be_visible()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_reference_does_not_overflow(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
