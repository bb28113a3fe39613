"""A shop on another origin, in a real browser: its pages recommend, record and show pictures through /clairo.js."""

import csv
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from typer.testing import CliRunner

from service.cli.commands import app
from tests.browser import NAMELESS, TOO_FAINT, opened_page
from tests.running_service import running_process
from tests.storefront import Storefront, running_storefront
from tests.tiny import tiny_bundle
from training.cli import app as train_app

WAIT_SECONDS = 30
PINNED, HIDDEN = "item-7", "lamp"


def made_key(data_dir: Path, *flags: str) -> str:
    made = CliRunner().invoke(app, ["keys", "create", "--name", "shop", "--data-dir", str(data_dir), *flags])
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


class Shop:
    """The shop's pages, and its server's client of the service."""

    def __init__(self, storefront: Storefront, service_url: str, read_key: str) -> None:
        self.storefront = storefront
        self.service_url = service_url
        self.read_key = {"X-API-Key": read_key}

    def events_of(self, user_id: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.service_url}/users/{user_id}", headers=self.read_key, timeout=60)
        events: list[dict[str, Any]] = answer.json()["events"] if answer.is_success else []
        return events

    def wait_for_events(self, user_id: str, is_enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not is_enough(events := self.events_of(user_id)):
            assert time.monotonic() < give_up_at, events
            time.sleep(0.2)
        return events


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("storefront")
    data_dir = folder / "data"
    with running_storefront() as storefront:
        key = made_key(data_dir, "--scope", "public", "--origin", storefront.url)
        read_key, write_key = (made_key(data_dir, "--scope", scope) for scope in ("read", "write"))
        with running_process(
            tiny_bundle(folder / "bundle"), data_dir, "--cors-origins", storefront.url, "--root-path", "/recommender"
        ) as service:
            url = f"{service.url}/recommender"
            items = httpx.get(f"{url}/items?limit=60", headers={"X-API-Key": read_key}, timeout=60).json()["items"]
            products = [{name: item[name] for name in ("item_id", "title", "picture_url")} for item in items]
            rules = {
                "filter": {"not": {"attribute": "category", "equals": HIDDEN}},
                "pin": [{"item_id": PINNED, "rank": 2}],
            }
            saved = httpx.put(f"{url}/placements/home", json=rules, headers={"X-API-Key": write_key}, timeout=60)
            assert saved.is_success, saved.text
            storefront.config = {"service": url, "key": key, "products": products}
            yield Shop(storefront, url, read_key)


@pytest.fixture
def page(shop: Shop, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The shop's home, opened by a user named after the test."""
    with opened_page(
        f"{shop.storefront.url}/?user={request.node.name}", others=[shop.storefront.url, shop.service_url]
    ) as page:
        expect(page.locator("#for-you li")).to_have_count(6)
        yield page


def user_of(request: pytest.FixtureRequest) -> str:
    return request.node.name


def ids_in(page: Page, element_id: str) -> list[str]:
    cards = page.locator(f"#{element_id} li").all()
    return [card.get_attribute("data-item-id") or "" for card in cards]


def open_page(page: Page, shop: Shop, path: str) -> None:
    page.goto(f"{shop.storefront.url}/{path}")


def test_home_recommends_with_pictures_that_load_from_the_service(page: Page) -> None:
    expect(page.locator("#for-you").get_by_role("heading", name="For you")).to_be_visible()
    picture = page.locator("#for-you img").first
    assert picture.evaluate("async (image) => (await image.decode(), image.naturalWidth)") > 0
    assert "key=clairo_" in (picture.get_attribute("src") or "")


def test_home_follows_its_placement(page: Page, shop: Shop) -> None:
    assert ids_in(page, "for-you")[1] == PINNED
    shown = [
        httpx.get(f"{shop.service_url}/items/{item_id}", headers=shop.read_key, timeout=60).json()
        for item_id in ids_in(page, "for-you")
    ]
    assert HIDDEN not in {item["attributes"]["category"] for item in shown}


def test_a_product_page_lists_similar_products_and_leads_to_them(page: Page, shop: Shop) -> None:
    open_page(page, shop, "product.html?item_id=item-17")
    expect(page.locator("#similar li")).to_have_count(6)
    expect(page.locator("#bought-together li")).to_have_count(6)
    assert "item-17" not in ids_in(page, "similar") + ids_in(page, "bought-together")
    first = ids_in(page, "similar")[0]
    page.locator("#similar a").first.click()
    page.wait_for_url(f"**/product.html?item_id={first}")
    expect(page.locator("#title")).not_to_be_empty()


def test_views_impressions_and_clicks_are_recorded_with_the_recommendation(
    page: Page, shop: Shop, request: pytest.FixtureRequest
) -> None:
    shown = ids_in(page, "for-you")
    user = user_of(request)

    def impressions(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # Those of what is trending have no recommendation.
        return [event for event in events if event["type"] == "impression" and event["recommendation_id"]]

    seen = impressions(shop.wait_for_events(user, lambda events: len(impressions(events)) >= 6))
    assert {event["item_id"] for event in seen} == set(shown)
    assert len({event["recommendation_id"] for event in seen}) == 1
    # A click leaves the page: a beacon takes it along.
    page.locator("#for-you a").nth(2).click()
    page.wait_for_url("**/product.html?*")
    events = shop.wait_for_events(user, lambda events: {"click", "view"} <= {event["type"] for event in events})
    (click,) = [event for event in events if event["type"] == "click"]
    assert (click["item_id"], click["recommendation_id"]) == (shown[2], seen[0]["recommendation_id"])
    time.sleep(3)
    again = shop.events_of(user)
    assert len({event["event_id"] for event in again}) == len(again)
    assert len([event for event in again if event["type"] == "click"]) == 1


def test_events_of_a_lost_connection_arrive_once_when_it_is_back(
    page: Page, shop: Shop, request: pytest.FixtureRequest
) -> None:
    open_page(page, shop, "product.html?item_id=item-3")
    expect(page.locator("#title")).not_to_be_empty()
    page.context.set_offline(True)
    page.get_by_role("button", name="Add to cart").click()
    page.wait_for_timeout(2500)
    assert "cart" not in {event["type"] for event in shop.events_of(user_of(request))}
    kept = page.evaluate("Object.keys(localStorage).filter((name) => name.startsWith('clairo-event:')).length")
    assert kept >= 1
    page.context.set_offline(False)
    events = shop.wait_for_events(user_of(request), lambda events: "cart" in {event["type"] for event in events})
    assert [event["item_id"] for event in events if event["type"] == "cart"] == ["item-3"]
    page.wait_for_function("!Object.keys(localStorage).some((name) => name.startsWith('clairo-event:'))")


def test_what_a_visitor_views_leads_to_other_recommendations(
    page: Page, shop: Shop, request: pytest.FixtureRequest
) -> None:
    before = ids_in(page, "for-you")
    open_page(page, shop, f"product.html?item_id={before[0]}")
    expect(page.locator("#title")).not_to_be_empty()
    page.evaluate("import('/shop.js').then(({ clairo }) => clairo.flush())")
    shop.wait_for_events(user_of(request), lambda events: "view" in {event["type"] for event in events})
    open_page(page, shop, "index.html")
    expect(page.locator("#for-you li")).to_have_count(6)
    assert before[0] not in ids_in(page, "for-you")


def test_a_cart_is_bought(page: Page, shop: Shop, request: pytest.FixtureRequest) -> None:
    for item_id in ("item-5", "item-9"):
        open_page(page, shop, f"product.html?item_id={item_id}")
        expect(page.locator("#title")).not_to_be_empty()
        page.get_by_role("button", name="Add to cart").click()
        expect(page.locator("#added")).to_have_text("In your cart")
    open_page(page, shop, "cart.html")
    expect(page.locator("#cart li")).to_have_count(2)
    expect(page.locator("#complements li")).to_have_count(6)
    assert not {"item-5", "item-9"} & set(ids_in(page, "complements"))
    page.get_by_role("button", name="Buy").click()
    expect(page.locator("#bought")).to_have_text("Thank you")
    bought = [event["item_id"] for event in shop.events_of(user_of(request)) if event["type"] == "purchase"]
    assert sorted(bought) == ["item-5", "item-9"]


def test_the_newsletter_has_the_pages_visitors_under_the_placement(
    page: Page, shop: Shop, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_page(page, shop, "product.html?item_id=item-3")
    expect(page.locator("#title")).not_to_be_empty()
    page.evaluate("import('/shop.js').then(({ clairo }) => clairo.flush())")
    user = user_of(request)
    shop.wait_for_events(user, lambda events: "view" in {event["type"] for event in events})
    open_page(page, shop, "index.html")
    expect(page.locator("#for-you li")).to_have_count(6)
    monkeypatch.setenv("CLAIRO_API_KEY", shop.read_key["X-API-Key"])
    out = tmp_path / "newsletter.csv"
    flags = ["--placement", "home", "--limit", "6", "--out", str(out)]
    ran = CliRunner().invoke(train_app, ["recommend", shop.service_url, *flags], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    of_user = [row["item_id"] for row in rows if row["user_id"] == user]
    assert of_user == ids_in(page, "for-you")
    assert of_user[1] == PINNED
    assert "item-3" not in of_user
    answer = httpx.get(f"{shop.service_url}/items?limit=100", headers=shop.read_key, timeout=60).json()
    hidden = {item["item_id"] for item in answer["items"] if item["attributes"]["category"] == HIDDEN}
    assert hidden
    assert not hidden & {row["item_id"] for row in rows}


def test_what_sells_now_is_trending_at_home(page: Page, shop: Shop) -> None:
    page.evaluate(
        """() => import('/shop.js').then(({ clairo }) => {
          for (const user of ['t-1', 't-2', 't-3']) {
            clairo.userId = user;
            clairo.track('purchase', 'item-40');
          }
          return clairo.flush();
        })"""
    )
    give_up_at = time.monotonic() + WAIT_SECONDS
    while "item-40" not in ids_in(page, "trending"):
        assert time.monotonic() < give_up_at
        open_page(page, shop, "index.html")
        expect(page.locator("#for-you li")).to_have_count(6)
        page.wait_for_load_state("networkidle")


def test_the_category_page_ranks_the_shops_own_list(page: Page, shop: Shop) -> None:
    open_page(page, shop, "category.html")
    expect(page.locator("#grid[data-order='ranked'] li")).to_have_count(60)
    assert len(set(ids_in(page, "grid"))) == 60
    # Every seventh item has no picture.
    expect(page.locator("#grid img[src]")).to_have_count(52)


def test_a_visitor_without_an_account_has_a_session(page: Page, shop: Shop) -> None:
    session = page.evaluate(
        """async () => {
          const { clairo } = await import('/shop.js');
          clairo.userId = null;
          clairo.track('view', 'item-1');
          await clairo.flush();
          await clairo.recommend({ limit: 3 });
          return localStorage.getItem('clairo-visitor');
        }"""
    )
    assert session.startswith("visitor-")


def test_an_invalid_event_is_dropped_alone(page: Page, shop: Shop, request: pytest.FixtureRequest) -> None:
    page.evaluate(
        """() => import('/shop.js').then(({ clairo }) => {
          clairo.track('view', 'item-1');
          clairo.track('', 'item-2');
          clairo.track('view', 'item-3');
          return clairo.flush();
        })"""
    )
    viewed = {event["item_id"] for event in shop.events_of(user_of(request)) if event["type"] != "impression"}
    assert viewed == {"item-1", "item-3"}
    page.wait_for_function("!Object.keys(localStorage).some((name) => name.startsWith('clairo-event:'))")


def test_the_types_name_what_the_module_has(page: Page, shop: Shop) -> None:
    types = httpx.get(f"{shop.service_url}/clairo.d.ts", timeout=60).text
    body = types.partition("export class Clairo {")[2].partition("\n}")[0]
    declared = set(re.findall(r"^  (\w+)\(", body, re.MULTILINE))
    found = page.evaluate(
        """(url) => import(url).then(({ Clairo, ...others }) =>
          [Object.getOwnPropertyNames(Clairo.prototype), ["Clairo", ...Object.keys(others)]])""",
        f"{shop.service_url}/clairo.js",
    )
    assert set(found[0]) == declared
    assert set(found[1]) == set(re.findall(r"^export (?:class|function) (\w+)", types, re.MULTILINE))


def test_a_list_that_fails_is_hidden_and_says_why(page: Page, shop: Shop) -> None:
    failure = page.evaluate(
        """() => new Promise((resolve) => {
          const list = document.createElement("clairo-recommendations");
          list.addEventListener("clairo-failed", ({ detail }) => resolve([list.hidden, detail.status, detail.message]));
          list.setAttribute("list", "similar");
          list.setAttribute("item-id", "nowhere");
          document.body.append(list);
        })"""
    )
    assert failure[:2] == [True, 404]
    assert "nowhere" in failure[2]


def test_the_elements_work_from_the_keyboard_and_are_readable(page: Page, shop: Shop) -> None:
    expect(page.get_by_role("region", name="For you").get_by_role("listitem")).to_have_count(6)
    page.locator("header a").last.focus()
    page.keyboard.press("Tab")
    first = ids_in(page, "for-you")[0]
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.href").endswith(f"item_id={first}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/product.html?item_id={first}")
    expect(page.locator("#similar li")).to_have_count(6)
    assert page.evaluate(NAMELESS) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert page.evaluate(TOO_FAINT) == []


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_no_page_overflows(page: Page, shop: Shop, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("index.html", "product.html?item_id=item-17", "category.html"):
        open_page(page, shop, path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
