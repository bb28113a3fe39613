"""The page at /operator in a real browser: bundles, an experiment, a placement, an item, jobs, live metrics, keys."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect
from typer.testing import CliRunner

from clairo_core.bundle.manifest import read_manifest
from service.cli.commands import app
from tests.browser import NAMELESS, TOO_FAINT, opened_page, serious_faults
from tests.running_service import ServiceProcess, drawn_picture, running_process
from tests.tiny import tiny_bundle

ROOMS = ("live", "bundles", "experiments", "placements", "items", "jobs")


def measured(folder: Path, ndcg: float) -> Path:
    """Give a tiny bundle an evaluation with intervals; its manifest has no digest of itself."""
    manifest = json.loads((folder / "manifest.json").read_text())
    rows = [
        {
            "ranker": ranker,
            "seen_items": "masked",
            "num_users": 50,
            "metrics": [
                {"name": name, "value": share * ndcg, "low": 0.8 * share * ndcg, "high": 1.2 * share * ndcg}
                for name in ("ndcg@10", "recall@10")
            ],
        }
        for ranker, share in (("clairo", 1.0), ("popularity", 0.25))
    ]
    manifest["metrics"] = {"evaluation": {"rows": rows, "split": "validation", "num_users": 50}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles of one shop; the second was measured as worse."""
    folder = tmp_path_factory.mktemp("operator") / "bundles"
    measured(tiny_bundle(folder / "first"), 0.4)
    measured(tiny_bundle(folder / "second", seed=1), 0.3)
    return folder


@pytest.fixture(scope="module")
def ids(bundles: Path) -> tuple[str, str]:
    return read_manifest(bundles / "first").bundle_id, read_manifest(bundles / "second").bundle_id


@pytest.fixture(scope="module")
def url(bundles: Path) -> Iterator[str]:
    data_dir = bundles.parent / "data"
    with running_process(bundles / "first", data_dir, "--bundles-dir", str(bundles)) as service:
        yield service.url


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    with opened_page(f"{url}/operator", others=[url]) as page:
        yield page


@pytest.fixture
def service(url: str) -> Iterator[httpx.Client]:
    """Calls beside the page, as a shop makes them."""
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def enter(page: Page, room: str) -> Locator:
    page.get_by_role("navigation").get_by_role("link", name=room.capitalize()).click()
    return page.locator(f"#{room}")


def press(room: Locator, name: str) -> None:
    room.get_by_role("button", name=name, exact=True).click()


def test_live_metrics_move_with_the_traffic(page: Page, service: httpx.Client) -> None:
    live = page.locator("#live")
    expect(live.get_by_role("heading", name="Time to answer")).to_be_visible()
    service.post("/items", json={"item_id": "posted", "title": "red mug 99", "attributes": {"category": "mug"}})
    for item in range(4):
        service.post("/recommend", json={"history": [f"item-{item}"], "filter": {"only_new": True}})
        service.post("/recommend", json={"history": []})
    answers = live.locator(".tile", has_text="Recommendations")
    expect(answers).to_contain_text("8 since the start")
    expect(answers.locator(".big")).to_have_text(re.compile(r"^[\d.]+/s$"))
    expect(live.locator(".tile", has_text="Time to answer").locator(".big")).to_have_text(re.compile(r"^[\d.]+ ms$"))
    expect(live.locator(".tile", has_text="Where items come from")).to_contain_text("popular")
    expect(live.locator(".tile", has_text="New items").locator(".big")).to_have_text(re.compile(r"^[1-9]"))
    expect(live.locator(".tile", has_text="Fallbacks")).to_contain_text("no history")
    answers.locator(".plot").hover()
    expect(answers.locator(".reading")).to_contain_text("s ago:")


def test_bundles_show_intervals_and_can_be_activated_and_rolled_back(page: Page, ids: tuple[str, str]) -> None:
    room = enter(page, "bundles")
    expect(room.get_by_label("NDCG@10 by bundle").locator("li")).to_have_count(2)
    serving = room.locator(".card.is-chosen")
    expect(serving).to_have_attribute("data-bundle-id", ids[0])
    expect(serving.locator(".intervals")).to_contain_text("0.4000 (0.3200 to 0.4800)")
    serving.get_by_label("Metric").select_option("recall@10")
    expect(serving.get_by_label("recall@10 by ranker")).to_be_visible()
    other = room.locator(f"[data-bundle-id='{ids[1]}']")
    press(other, "Activate")
    expect(other.locator(".question")).to_contain_text("NDCG@10 was 0.3000 against 0.4000")
    page.keyboard.press("Escape")
    expect(other.locator(".question")).to_have_count(0)
    page.keyboard.press("Enter")
    press(other, "Activate")
    expect(other).to_contain_text("may be worse than the served bundle")
    press(other, "Activate it nevertheless")
    press(other, "Serve it")
    expect(page.locator("#changed")).to_contain_text(f"{ids[1]} is served now, in place of {ids[0]}.")
    expect(page.locator("#served")).to_contain_text(ids[1])
    expect(serving).to_have_attribute("data-bundle-id", ids[1])
    press(serving, "Roll back")
    press(serving, "Roll back")
    expect(page.locator("#changed")).to_contain_text(f"{ids[0]} is served now")
    press(serving, "Roll back")
    press(serving, "Roll back")
    expect(serving.locator(".problem")).to_contain_text("no bundle was served before")


def test_an_experiment_starts_shows_both_arms_and_ends(page: Page, service: httpx.Client, ids: tuple[str, str]) -> None:
    room = enter(page, "experiments")
    room.get_by_label("Name").fill("next")
    room.get_by_label("Share of users").fill("40")
    press(room, "Start")
    expect(page.locator("#changed")).to_contain_text(f"next has started: 40% of users get {ids[1]}.")
    for user in range(12):
        answer = service.post("/recommend", json={"history": ["item-1"], "user_id": f"user-{user}"}).json()
        about = {"user_id": f"user-{user}", "item_id": "item-2", "recommendation_id": answer["recommendation_id"]}
        events = [about | {"type": kind} for kind in ("impression", "purchase")[: 1 + user % 2]]
        assert service.post("/feedback", json={"events": events}).is_success
    arms = room.get_by_label("Hit rate by arm").locator("li")
    expect(arms).to_have_count(2)
    expect(arms.first).to_contain_text(re.compile(r"served bundle: [1-9]"))
    expect(arms.last).to_contain_text(re.compile(r"other bundle: \d+ of [1-9].* to "))
    press(room, "End it")
    press(room, "End it")
    expect(page.locator("#changed")).to_contain_text(f"next has ended: {ids[0]} answers everybody.")
    expect(room.locator(".badge")).to_have_text("ended")
    room.get_by_label("Name").fill("next")
    press(room, "Start")
    expect(room.locator(".problem")).to_contain_text("choose another name")


def test_a_placement_is_previewed_saved_edited_and_deleted(page: Page, service: httpx.Client) -> None:
    room = enter(page, "placements")
    lists = room.locator(".placed")
    expect(lists).to_have_count(2)
    last = lists.first.locator("li").last.get_attribute("data-item-id")
    press(room, "pin")
    expect(lists.last.locator("li").first).to_have_attribute("data-item-id", str(last))
    expect(lists.last.locator("li").first).to_contain_text("▲ 9")
    press(room, "Save")
    press(room, "Save")
    expect(room.locator(".problem")).to_contain_text("The placement needs a name")
    room.get_by_label("Name").fill("home")
    press(room, "Save")
    expect(page.locator("#changed")).to_contain_text("home is saved as version 1. Rules added: limit, pin.")
    rules = room.get_by_label("Rules")
    rules.fill('{"limit": "many"}')
    expect(room.locator(".problem")).to_contain_text("rules → limit: got text, expected an integer")
    rules.fill('{"limit": 3')
    expect(room.locator(".problem")).to_contain_text("The rules are not JSON")
    rules.fill('{"limit": 3}')
    expect(lists.last.locator("li")).to_have_count(3)
    press(room, "Save as version 2")
    press(room, "Save")
    expect(page.locator("#changed")).to_contain_text("home is saved as version 2. Rules changed: limit; removed: pin.")
    assert service.get("/placements/home").json()["rules"] == {"limit": 3}
    press(room, "Earlier version")
    expect(rules).to_have_value(re.compile('"pin"'))
    press(room, "Delete")
    press(room, "Delete")
    expect(page.locator("#changed")).to_contain_text("home is deleted")
    assert service.get("/placements/home").status_code == 404


def test_an_item_is_edited_retired_and_restored(page: Page, service: httpx.Client, tmp_path: Path) -> None:
    room, editor = enter(page, "items"), page.locator("#edit")
    room.get_by_label("Search by words or id").fill("item-17")
    expect(room.locator("#items-grid li")).to_have_count(1)
    room.locator(".pick").click()
    title = editor.get_by_label("title").input_value()
    press(editor, "Save changes")
    expect(editor.locator(".problem")).to_contain_text("Nothing differs")
    assert serious_faults(page) == []
    picture = tmp_path / "new.png"
    picture.write_bytes(drawn_picture(3))
    editor.get_by_label("title").fill("Lamp of <b>tests</b>")
    editor.get_by_label("price").fill("12.50")
    editor.get_by_label("Another picture").set_input_files(picture)
    press(editor, "Save changes")
    expect(page.locator("#changed")).to_contain_text(f"title “{title}” → “Lamp of <b>tests</b>”")
    expect(page.locator("#changed")).to_contain_text("→ “12.50”; another picture")
    expect(room.locator(".product .title")).to_have_text("Lamp of <b>tests</b>")
    room.locator(".pick").click()
    press(editor, "Retire")
    press(editor, "Retire")
    expect(page.locator("#changed")).to_contain_text("is retired")
    expect(room.locator(".product .badge")).to_have_text("retired")
    assert service.get("/items/item-17").json()["is_retired"] is True
    room.locator(".pick").click()
    press(editor, "Restore")
    press(editor, "Restore")
    expect(page.locator("#changed")).to_contain_text("is restored")
    item = service.get("/items/item-17").json()
    assert (item["is_retired"], item["attributes"]["price"], item["picture_url"] is not None) == (False, "12.50", True)


def test_jobs_show_progress_and_why_lines_were_rejected(page: Page, service: httpx.Client) -> None:
    room = enter(page, "jobs")
    lines = b'{"item_id": "bulk-1", "title": "Bulk"}\n{"item_id": "bulk-2", "price": 1}\n'
    service.post("/items/bulk", content=lines, headers={"Content-Type": "application/x-ndjson"})
    job = room.locator("[data-job-id]")
    expect(job).to_contain_text("done")
    expect(job.get_by_role("img")).to_have_attribute("aria-label", "2 of 2 lines, 1 accepted, 1 rejected")
    job.get_by_text("Rejected lines").click()
    expect(job.locator("ul.rejected")).to_contain_text("line 2")


def test_no_room_has_serious_faults_errors_or_overflows(url: str) -> None:
    with opened_page(f"{url}/operator", others=[url], logs_errors=False) as page:
        for name in ROOMS:
            room = enter(page, name)
            expect(room.locator("h2")).to_be_focused()
            expect(page).to_have_title(f"{name.capitalize()} · CLAIRO operator")
            expect(room.locator(".tile, .card, .empty, .product").first).to_be_visible()
            for width in (360, 1280):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
            assert page.evaluate(NAMELESS) == []
            assert serious_faults(page) == [], name
            page.locator(".skip").press("Enter")
            expect(page.locator("#content")).to_be_focused()
            expect(room).to_be_visible()
            page.emulate_media(color_scheme="dark")
            assert page.evaluate(TOO_FAINT) == [], name
            page.emulate_media(color_scheme="light")


def made_key(data_dir: Path, scope: str) -> str:
    made = CliRunner().invoke(app, ["keys", "create", "--name", scope, "--data-dir", str(data_dir), "--scope", scope])
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    data_dir = tmp_path_factory.mktemp("operator-keys")
    return data_dir, {scope: made_key(data_dir, scope) for scope in ("read", "admin")}


@pytest.fixture(scope="module")
def locked(bundles: Path, keys: tuple[Path, dict[str, str]]) -> Iterator[ServiceProcess]:
    with running_process(bundles / "first", keys[0]) as service:
        yield service


def test_a_locked_service_takes_an_admin_key_alone_and_it_stays_out_of_urls_and_logs(
    locked: ServiceProcess, keys: tuple[Path, dict[str, str]]
) -> None:
    secrets = [part for key in keys[1].values() for part in (key, key.split("_", 2)[2])]
    with opened_page(f"{locked.url}/operator", secrets, others=[locked.url]) as page:
        room = enter(page, "bundles")

        def give(key: str) -> None:
            page.get_by_label("API key", exact=True).fill(key)
            page.get_by_role("button", name="Use key").click()

        give("clairo_wrong")
        expect(page.locator("#key-reason")).to_contain_text("unknown or revoked")
        page.locator("#key").get_by_role("button", name="Cancel").click()
        expect(room.locator(".problem")).to_contain_text("API key missing or invalid")
        press(room, "Use another key")
        give(keys[1]["read"])
        expect(room.locator(".problem")).to_contain_text("the key has scope read")
        press(room, "Use another key")
        give(keys[1]["admin"])
        expect(room.locator(".card.is-chosen")).to_contain_text("serving")
        enter(page, "items")
        picture = page.locator("#items-grid .picture img").first
        expect(picture).to_have_attribute("src", re.compile("^blob:"))
        assert page.evaluate("localStorage.length + document.cookie.length") == 0
    assert not any(secret in line for line in locked.lines for secret in secrets)
