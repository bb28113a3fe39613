"""README.md and docs/ against a running service: calls, answers, programs and the storefront's page, as written."""

import gzip
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser import opened_page
from tests.documented_blocks import DOCS, Block, all_blocks, blocks_of, pages
from tests.documented_commands import fault_of
from tests.running_service import running_process
from tests.tiny import tiny_bundle

ADDRESS = "http://127.0.0.1:8000"
IDS = {0: "teapot-0001", 1: "lamp-0010", 2: "mug-0890"}
REFUSED = {"/bundles/rollback": 409, "/bundles/shop-919bc58e624e/activate": 404}
"""The service here has one bundle."""
CURL = "curl() { command curl --silent --show-error --write-out '\\n%{http_code}\\n' \"$@\"; }\n"
OMITTED = "..."


class Files(SimpleHTTPRequestHandler):
    """The shop's pages."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def shop_url(folder: Path) -> Iterator[str]:
    (block,) = blocks_of(DOCS / "storefront.md", "html")
    (folder / "shop.html").write_text(block.text, encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where blocks run, with the files that they name."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "docs").symlink_to(DOCS)
    event = {"user_id": "u-9", "item_id": IDS[0], "type": "purchase"}
    (folder / "events.jsonl.gz").write_bytes(gzip.compress(json.dumps(event).encode()))
    return folder


@pytest.fixture(scope="module")
def url(folder: Path, shop_url: str) -> Iterator[str]:
    bundle = tiny_bundle(folder / "bundle", ids=IDS)
    with running_process(bundle, folder / "data", "--cors-origins", shop_url) as service:
        yield service.url


def calls(block: Block) -> bool:
    return "curl" in block.text and ADDRESS in block.text


def answers_of(block: Block, url: str, folder: Path) -> list[Any]:
    """Run the block; return the answer of each call, none of them an error."""
    script = CURL + block.text.replace(ADDRESS, url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    paths = [re.sub(r"\?.*", "", path) for path in re.findall(rf"{ADDRESS}(/[^\s'\"]*)", block.text)]
    statuses = [line for line in lines if re.fullmatch(r"[1-5]\d\d", line)]
    for path, status in zip(paths, statuses, strict=True):
        expected = str(REFUSED[path]) if path in REFUSED else r"20\d"
        assert re.fullmatch(expected, status), f"{path}: {status}\n{done.stdout}"
    return [json.loads(line) for line in lines if line.startswith("{")]


def unlike(documented: Any, answered: Any, at: str = "answer") -> list[str]:
    """Where a shortened answer of the documentation has another form than a real one."""
    if isinstance(documented, dict) and isinstance(answered, dict):
        return [
            fault
            for name, value in documented.items()
            for fault in (
                unlike(value, answered[name], f"{at}.{name}") if name in answered else [f"{at} has no {name!r}"]
            )
        ]
    if isinstance(documented, list) and isinstance(answered, list):
        parts = [part for part in documented if part != OMITTED]
        return [fault for part in parts[: len(answered)] for fault in unlike(part, answered[0], f"{at}[]")]
    if documented is None or answered is None or type(documented) is type(answered):
        return []
    return [f"{at}: documented {documented!r}, answered {answered!r}"]


PAGES = [page for page in pages() if any(map(calls, blocks_of(page, "sh")))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_call_of_a_page_is_answered_as_it_shows(page: Path, url: str, folder: Path) -> None:
    answered: list[Any] = []
    for block in blocks_of(page, "sh", "json"):
        if block.language == "sh" and calls(block):
            assert all(line.lstrip().startswith(("curl", "-", "'", "{", '"')) for line in block.text.splitlines())
            answered = answers_of(block, url, folder)
        elif block.language == "json" and not block.title:
            assert answered, f"{block.name}: no call before it"
            assert unlike(json.loads(block.text), answered[-1]) == []


@pytest.mark.parametrize("block", [block for block in all_blocks("json") if block.title], ids=lambda block: block.name)
def test_every_body_is_accepted_and_every_configuration_starts_a_command(block: Block, url: str) -> None:
    body = json.loads(block.text)
    if block.title == "mcp":
        assert [fault_of([server["command"], *server["args"]]) for server in body["mcpServers"].values()] == [None]
        return
    method, path = block.title.split()
    answer = httpx.request(method, url + path, json=body, timeout=60)
    assert answer.is_success, answer.text


def test_every_body_and_condition_inside_a_line_is_accepted(url: str) -> None:
    found = [
        json.loads(line)
        for page in pages()
        for line in re.findall(r'`(\{"[^`]+": [^`]+\})`', page.read_text(encoding="utf-8"))
        if "..." not in line
    ]
    bodies = [body if "history" in body else {"history": [], "filter": body} for body in found]
    assert len(bodies) >= 4
    answers = [httpx.post(f"{url}/recommend", json=body, timeout=60) for body in bodies]
    assert [answer.text for answer in answers if not answer.is_success] == []


@pytest.mark.parametrize("block", all_blocks("python"), ids=lambda block: block.name)
def test_every_program_runs(block: Block, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block.text.replace(ADDRESS, url), block.name, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out


def test_the_storefronts_page_shows_a_product_and_its_lists_and_records_what_is_done(
    url: str, shop_url: str, folder: Path
) -> None:
    page_file = folder / "shop.html"
    page_file.write_text(page_file.read_text(encoding="utf-8").replace(ADDRESS, url), encoding="utf-8")
    with opened_page(f"{shop_url}/shop.html", others=[shop_url, url]) as page:
        expect(page.get_by_role("heading", level=1)).not_to_be_empty()
        lists = page.locator("clairo-recommendations")
        expect(lists.nth(0).locator("a").first).to_be_visible()
        expect(lists.nth(1).locator("a").first).to_be_visible()
        with page.expect_response(lambda answer: answer.url.endswith("/feedback")) as recorded:
            page.get_by_role("button", name="Add to cart").click()
        assert recorded.value.ok
        lists.nth(0).locator("a").first.click()
        expect(page).to_have_url(re.compile(r"\?item="))
        expect(page.get_by_role("heading", level=1)).not_to_be_empty()


def test_another_form_than_the_answers_is_found() -> None:
    answered = {"items": [{"rank": 1, "note": None}], "seed": 0}
    assert unlike({"items": [{"rank": 2, "note": "x"}, OMITTED]}, answered) == []
    assert unlike({"items": [{"place": 2}], "seed": "0"}, answered) == [
        "answer.items[] has no 'place'",
        "answer.seed: documented '0', answered 0",
    ]
