"""`make docs` builds every page, without a broken link, and nothing in them comes from another host."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser import TOO_FAINT, opened_page
from tests.documented_blocks import DOCS
from tests.repository import REPOSITORY

SITE = REPOSITORY / "site"
CONFIGURATION = REPOSITORY / "zensical.toml"
PHONE: ViewportSize = {"width": 390, "height": 800}


class Files(SimpleHTTPRequestHandler):
    """The built pages."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Path:
    """Built in strict mode."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    built = subprocess.run(
        [REPOSITORY / ".ci" / "site"], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return SITE


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r'"docs/([\w-]+\.md)"', CONFIGURATION.read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))


def test_every_picture_script_and_style_is_a_file_of_the_site(site: Path) -> None:
    missing = []
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assets = re.findall(r'<(?:img|script|iframe)[^>]* src="([^"]+)"|<link[^>]* href="([^"]+)"', text)
        for source in filter(None, (one or other for one, other in assets)):
            # The page of errors has addresses from the root.
            lies = site / source.lstrip("/") if source.startswith("/") else page.parent / source
            if not source.startswith("data:") and not lies.exists():
                missing.append(f"{page.relative_to(site)}: {source}")
    assert not missing


@pytest.fixture(scope="module")
def page(url: str) -> Iterator[Page]:
    with opened_page(f"{url}/index.html", others=[url]) as page:
        yield page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_drawings_are_shown_and_words_are_readable(page: Page, url: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{url}/docs/how-it-works.html")
    expect(page.locator("h1")).to_contain_text("How it works")
    drawings = page.locator("article img")
    assert drawings.count() == len(list((DOCS / "drawings").glob("*.svg")))
    assert drawings.evaluate_all("drawings => drawings.every((drawing) => drawing.naturalWidth && drawing.alt)")
    # The link to skip the navigation has no opacity until it has the focus.
    assert [fault for fault in page.evaluate(TOO_FAINT) if "md-skip" not in fault] == []


def test_pages_are_found_by_their_words(page: Page, url: str) -> None:
    # Its scripts listen by then.
    page.goto(f"{url}/index.html", wait_until="networkidle")
    page.get_by_role("button", name="Search").first.click()
    page.get_by_role("combobox", name="Search").fill("rollback")
    expect(page.get_by_role("option", name=re.compile("Rollback")).first).to_be_visible()


def test_pages_fit_a_phone(page: Page, url: str) -> None:
    page.set_viewport_size(PHONE)
    for name in ("index", "docs/quick-start", "docs/settings", "docs/storefront"):
        page.goto(f"{url}/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
