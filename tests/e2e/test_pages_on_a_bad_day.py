"""Playground and operator page where titles are odd, keys expire, and the service goes away and comes back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser import opened_page
from tests.fake_shop import FakeShop, fake_shop

LONG = "Wort" * 60
HEBREW = "ספל כחול (250 מ״ל)!"

UNDER_HEAD = """() => {
  const [focused, head] = [document.activeElement, document.querySelector('.top')];
  const isUnder = focused.closest('#grid') && focused.getBoundingClientRect().top < head.getBoundingClientRect().bottom;
  return isUnder ? focused.getAttribute('aria-label') : null;
}"""
"""Script: the focused product's name, if the page's head hides its upper edge."""


@pytest.fixture
def shop() -> Iterator[FakeShop]:
    with fake_shop() as shop:
        shop.put_items(
            {"item_id": "emoji", "title": "🫖 teapot"},
            {"item_id": "markup", "title": "<img src=x onerror=alert(1)> & Co"},
            {"item_id": "hebrew", "title": HEBREW},
            {"item_id": "long", "title": LONG},
        )
        yield shop


def opened(shop: FakeShop, path: str = "/") -> AbstractContextManager[Page]:
    return opened_page(f"{shop.url}{path}", others=[shop.url])


def job(job_id: str, num_done: int) -> dict[str, object]:
    return {
        "job_id": job_id,
        "kind": "items",
        "state": "running",
        "num_rows": 10,
        "num_done": num_done,
        "num_accepted": num_done - 1,
        "num_rejected": 1,
        "num_duplicates": 0,
        "num_undeclared": 0,
        "undeclared_types": {},
        "created_at": "2026-01-01T00:00:00Z",
        "finished_at": None,
    }


def test_titles_are_text_of_any_script_and_length(shop: FakeShop) -> None:
    with opened(shop) as page:
        expect(page.locator("#recommended li")).to_have_count(4)
        titles = page.locator("#grid .title")
        expect(titles.nth(1)).to_have_text("<img src=x onerror=alert(1)> & Co")
        # By its first character with a direction, so that brackets and marks stand where its language has them.
        assert titles.nth(2).evaluate("(title) => getComputedStyle(title).unicodeBidi") == "plaintext"
        expect(page.locator("#grid .initial").first).to_have_text("🫖")
        page.get_by_role("button", name=f"Details of {LONG}").click()
        for width in (320, 640, 1280):
            page.set_viewport_size({"width": width, "height": 640})
            dialog = page.locator("#detail")
            assert dialog.evaluate("(dialog) => dialog.scrollWidth <= dialog.clientWidth"), width
            expect(dialog.get_by_role("button", name="Close")).to_be_in_viewport(ratio=1)


def test_a_list_cut_by_a_placements_group_says_so_in_words(shop: FakeShop) -> None:
    shop.answers["/recommend"]["fallback_reason"] = "group_exhausted"
    with opened(shop) as page:
        expect(page.locator("#fallback")).to_contain_text("group")
        expect(page.locator("#fallback")).not_to_contain_text("group_exhausted")


def test_jobs_and_the_bundle_in_the_head_follow_a_service_that_restarted(shop: FakeShop) -> None:
    shop.answers["/jobs"] = {"jobs": [job("j-1", 3)]}
    with opened(shop, "/operator#jobs") as page:
        jobs = page.locator("#jobs")
        expect(jobs.locator("li.card")).to_contain_text("3 of 10 lines")
        shop.failing = (503, "Service is not ready")
        expect(jobs.locator(".problem")).to_contain_text("Service is not ready")
        shop.answers["/jobs"] = {"jobs": [job("j-1", 7)]}
        shop.failing = None
        expect(jobs.locator("li.card")).to_contain_text("7 of 10 lines")
        expect(jobs.locator(".problem")).to_have_count(0)


def test_an_experiment_follows_a_service_that_restarted(shop: FakeShop) -> None:
    arm = {"bundle_id": "b-1", "num_shown": 9, "num_hit": 1, "hit_rate": 0.1, "hit_rate_interval": [0, 1]}
    running = {"name": "e", "share": 0.5, "is_running": True, "is_in_settings": False}
    arms = [arm | {"arm": "control"}, arm | {"arm": "treatment"}]
    shop.answers |= {"/bundles": {"bundles": []}, "/experiments": {"experiments": [running | {"arms": arms}]}}
    with opened(shop, "/operator#experiments") as page:
        room = page.locator("#experiments")
        expect(room.locator(".arms")).to_contain_text("1 of 9")
        shop.failing = (503, "Service is not ready")
        expect(room.locator(".problem")).to_contain_text("Service is not ready")
        arms[0]["num_hit"] = arms[1]["num_hit"] = 4
        shop.failing = None
        expect(room.locator(".arms")).to_contain_text("4 of 9")
        expect(room.locator(".problem")).to_have_count(0)


def test_a_job_that_moves_leaves_the_keyboard_where_it_is(shop: FakeShop) -> None:
    shop.answers["/jobs"] = {"jobs": [job("j-1", 3)]}
    shop.answers["/jobs/j-1"] = {"rejected": [{"line": 2, "reason": "no title"}], "next_cursor": None}
    with opened(shop, "/operator#jobs") as page:
        summary = page.locator("#jobs summary")
        summary.press("Enter")
        expect(page.locator("#jobs ul.rejected")).to_contain_text("no title")
        shop.answers["/jobs"] = {"jobs": [job("j-1", 8)]}
        expect(page.locator("#jobs li.card")).to_contain_text("8 of 10 lines")
        expect(summary).to_be_focused()


def test_a_cancelled_key_dialog_stays_closed_in_the_live_room(shop: FakeShop) -> None:
    with opened(shop, "/operator") as page:
        expect(page.locator("#tiles article").first).to_be_visible()
        shop.failing = (401, "API key missing or invalid")
        expect(page.locator("#key")).to_be_visible()
        page.locator("#key").get_by_role("button", name="Cancel").click()
        expect(page.locator("#live .problem")).to_contain_text("API key missing or invalid")
        page.wait_for_timeout(2_500)
        expect(page.locator("#key")).to_be_hidden()
        expect(page.get_by_role("button", name="Use another key")).to_be_visible()


def test_a_fragment_that_names_no_room_opens_the_first(shop: FakeShop) -> None:
    with opened(shop, "/operator#constructor") as page:
        expect(page.locator("#tiles article").first).to_be_visible()


def test_an_experiment_starts_once_however_often_the_button_is_pressed(shop: FakeShop) -> None:
    shop.answers["/bundles"] = {"bundles": [{"bundle_id": "b-2", "is_serving": False}]}
    shop.answers["/experiments"] = {"experiments": []}
    with opened(shop, "/operator#experiments") as page:
        page.get_by_label("Name").fill("e")
        start = page.get_by_role("button", name="Start")
        start.evaluate("(button) => { button.click(); button.click(); }")
        expect(page.locator("#experiments").get_by_role("alert").first).to_be_attached()
        page.wait_for_timeout(300)
        assert shop.calls["POST /experiments"] == 1


def test_a_saved_item_gives_the_focus_back_to_its_card(shop: FakeShop) -> None:
    shop.answers["/items/emoji"]["texts"] = {"title": "🫖 teapot"}
    with opened(shop, "/operator#items") as page:
        card = page.get_by_role("button", name="Edit 🫖 teapot")
        card.press("Enter")
        page.locator("#edit").get_by_label("title").fill("Teapot")
        shop.answers["/items/emoji"] |= {"outcome": "changed", "features_kept": True}
        page.locator("#edit").get_by_role("button", name="Save changes").press("Enter")
        expect(page.locator("#edit")).to_be_hidden()
        expect(page.locator("#changed")).to_contain_text("Teapot")
        expect(card).to_be_focused()


def test_a_focused_product_is_not_hidden_under_the_head(shop: FakeShop) -> None:
    shop.put_items(*({"item_id": f"item-{number}", "title": f"Product {number}"} for number in range(40)))
    with opened(shop) as page:
        page.set_viewport_size({"width": 1280, "height": 500})
        expect(page.locator("#grid li")).to_have_count(40)
        page.get_by_role("button", name="Details of Product 39").focus()
        for _ in range(40):
            page.keyboard.press("Shift+Tab")
            assert page.evaluate(UNDER_HEAD) is None


def test_an_action_under_way_cannot_be_cancelled_and_its_refusal_has_the_focus(shop: FakeShop) -> None:
    held: list[Route] = []
    with opened(shop, "/operator#items") as page:
        page.get_by_role("button", name="Edit 🫖 teapot").press("Enter")
        edit = page.locator("#edit")
        page.route("**/items/emoji", lambda route: held.append(route))  # noqa: PLW0108 - Playwright refuses built-in methods
        for _ in ("ask", "confirm"):
            edit.get_by_role("button", name="Retire").press("Enter")
        expect(edit.get_by_role("button", name="Cancel")).to_be_disabled()
        held[0].fulfill(status=409, json={"title": "Item in use", "detail": "by a pin", "status": 409})
        expect(edit.get_by_role("alert").filter(has_text="Item in use")).to_be_visible()
        expect(edit.get_by_role("button", name="Retire")).to_be_focused()
        expect(edit.get_by_role("button", name="Cancel")).to_be_enabled()
