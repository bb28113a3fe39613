"""The page of a service with API keys: it asks for one, sends it with every call, and never puts it in a url."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from typer.testing import CliRunner

from service.cli.commands import app
from tests.browser import NAMELESS, TOO_FAINT, opened_page
from tests.running_service import running_process
from tests.tiny import tiny_bundle


def made_key(data_dir: Path, *scopes: str) -> str:
    flags = [part for scope in scopes for part in ("--scope", scope)]
    made = CliRunner().invoke(app, ["keys", "create", "--name", "page", "--data-dir", str(data_dir), *flags])
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("playground")


@pytest.fixture(scope="module")
def keys(data_dir: Path) -> dict[str, str]:
    return {"read": made_key(data_dir, "read"), "write": made_key(data_dir, "read", "write")}


@pytest.fixture(scope="module")
def url(data_dir: Path, keys: dict[str, str]) -> Iterator[str]:
    with running_process(tiny_bundle(data_dir / "bundle"), data_dir) as service:
        yield service.url


@pytest.fixture
def page(url: str, keys: dict[str, str]) -> Iterator[Page]:
    """The page as first opened. No url may hold a key or its secret half."""
    secrets = [part for key in keys.values() for part in (key, key.split("_", 2)[2])]
    with opened_page(url, secrets) as page:
        yield page


def give(page: Page, key: str) -> None:
    expect(page.locator("#key")).to_be_visible()
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Use key").click()


def test_the_page_asks_for_a_key_once_and_then_works_pictures_included(page: Page, keys: dict[str, str]) -> None:
    expect(page.locator("#key-reason")).to_contain_text("needs an API key")
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate(TOO_FAINT) == []
    give(page, keys["read"])
    expect(page.locator("#recommended li")).to_have_count(10)
    expect(page.locator("#key")).to_be_hidden()
    expect(page.locator("#grid li").first).to_be_visible()
    picture = page.locator("#grid .picture img").first
    expect(picture).to_have_attribute("src", re.compile("^blob:"))
    assert picture.evaluate("async (image) => (await image.decode(), image.naturalWidth)") > 0
    # Kept in the tab only.
    page.reload()
    expect(page.locator("#recommended li")).to_have_count(10)
    expect(page.locator("#key")).to_be_hidden()
    assert page.evaluate("localStorage.length + document.cookie.length") == 0


def test_a_wrong_key_is_asked_for_again_and_cancel_shows_the_problem(page: Page, keys: dict[str, str]) -> None:
    give(page, "clairo_wrong")
    expect(page.locator("#key-reason")).to_contain_text("unknown or revoked")
    give(page, keys["read"][:-1] + "~")
    expect(page.locator("#key-reason")).to_contain_text("unknown or revoked")
    page.locator("#key").get_by_role("button", name="Cancel").click()
    expect(page.locator("#banner")).to_contain_text("API key missing or invalid")


def test_a_read_key_can_be_replaced_by_a_write_key(page: Page, keys: dict[str, str]) -> None:
    give(page, keys["read"])
    expect(page.locator("#recommended li")).to_have_count(10)
    page.get_by_role("button", name="Add a product").click()
    page.get_by_label("Title").fill("Key ring")
    page.get_by_role("button", name="Add product").click()
    expect(page.locator("#add-problem")).to_contain_text("the key has scope read")
    page.locator("#add").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="API key").click()
    # The page loads again with the key: the list until then is the old one.
    with page.expect_navigation():
        give(page, keys["write"])
    expect(page.locator("#recommended li")).to_have_count(10)
    page.get_by_role("button", name="Add a product").click()
    page.get_by_label("Title").fill("Key ring")
    page.get_by_role("button", name="Add product").click()
    expect(page.locator("#detail-heading")).to_have_text("Key ring")
