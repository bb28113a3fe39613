"""Pictures by url: fetched once from listed hosts on public addresses, bounded, resumable; never while training."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from clairo_core.encoders.pictures import MAX_PICTURE_BYTES
from clairo_core.errors import DatasetError, RowError, SettingsError
from tests.running_service import drawn_picture
from training.cli import app
from training.datasets import check_pictures, load_dataset
from training.datasets.fetch_pictures import FetchReport, PictureUrls, fetch_pictures
from training.datasets.pictures.picture_fetcher import FetchError, fetch_all, parse_url
from training.datasets.pictures.picture_urls import fetched_picture, first_url

PICTURE = drawn_picture()


class Host(ThreadingHTTPServer):
    """A web server on loopback: paths to status, headers and body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        self.seconds_before_body = 0.0
        self.most_at_once = 0
        self.num_asking = 0
        self.lock = threading.Lock()

    @property
    def name(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Host
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host = self.server
        with host.lock:
            host.asked.append(self.path)
            host.num_asking += 1
            host.most_at_once = max(host.most_at_once, host.num_asking)
        status, headers, body = host.answers.get(self.path, (404, {}, b"not here"))
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            time.sleep(host.seconds_before_body)
            self.wfile.write(body)
        except OSError:
            self.close_connection = True
        finally:
            with host.lock:
                host.num_asking -= 1

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def on_loopback(address: str) -> bool:
    return address == "127.0.0.1"


def write_shop(folder: Path, urls: list[str], extra: str = "") -> Path:
    lines = [json.dumps({"sku": f"p{place}", "name": f"Cup {place}", "photo": url}) for place, url in enumerate(urls)]
    (folder / "products.jsonl").write_text("\n".join(lines))
    (folder / "clicks.csv").write_text("user_id,item_id,position\nann,p0,1\n")
    (folder / "dataset.toml").write_text(
        '[items]\nfile = "products.jsonl"\nitem_id = "sku"\ntexts = ["name"]\npicture = "photo"\n'
        f'{extra}\n[interactions]\nfile = "clicks.csv"\nposition = "position"\n'
    )
    return folder


def fetch(folder: Path, *hosts: str) -> FetchReport:
    return fetch_pictures(PictureUrls(folder), hosts, may_connect_to=on_loopback)


def test_pictures_are_fetched_once_and_then_read_from_the_folder(host, tmp_path):
    host.answers = {"/a.png": (200, {}, PICTURE), "/b%20c.png": (200, {}, drawn_picture(1))}
    urls = [f"{host.name}/a.png", f"{host.name}/a.png", f"{host.name}/b c.png, {host.name}/never.png"]
    write_shop(tmp_path, urls)
    with pytest.raises(RowError, match=r"row 1, field 'photo': http.*/a.png is not fetched; run clairo-train fetch"):
        load_dataset(tmp_path)
    assert str(fetch(tmp_path, host.name)) == f"2 pictures fetched, 0 already there, in {tmp_path / 'pictures'}"
    assert sorted(host.asked) == ["/a.png", "/b%20c.png"]
    dataset = check_pictures(load_dataset(tmp_path))
    assert [item.read_picture() for item in dataset.items] == [PICTURE, PICTURE, drawn_picture(1)]
    manifest = [json.loads(line) for line in (tmp_path / "pictures/manifest.jsonl").read_text().splitlines()]
    assert {(one["url"], one["bytes"]) for one in manifest} == {
        (f"{host.name}/a.png", len(PICTURE)),
        (f"{host.name}/b c.png", len(drawn_picture(1))),
    }
    assert fetch(tmp_path, host.name).num_present == 2
    assert len(host.asked) == 2


def test_an_item_of_several_variants_has_one_picture_to_fetch(tmp_path):
    rows = ["mug,Mug,https://shop.test/1.png", "mug,,https://shop.test/2.png", "hat,Hat,https://shop.test/3.png"]
    (tmp_path / "products.csv").write_text("\n".join(["handle,name,photo", *rows]))
    (tmp_path / "dataset.toml").write_text(
        '[items]\nfile = "products.csv"\nitem_id = "handle"\ngroup_variants = "handle"\ntexts = ["name"]\n'
        'picture = "photo"\n[interactions]\nfile = "clicks.csv"\nposition = "position"\n'
    )
    assert PictureUrls(tmp_path).item_of == {"https://shop.test/1.png": "mug", "https://shop.test/3.png": "hat"}


def test_failures_are_listed_and_tried_again(host, tmp_path):
    host.answers = {
        "/0": (200, {}, b"<html>"),
        "/1": (500, {}, PICTURE),
        "/2": (302, {"Location": "http://localhost:1/x"}, b""),
        "/3": (302, {"Location": "/3"}, b""),
        "/4": (301, {"Location": "/good"}, b""),
        "/good": (200, {}, PICTURE),
        "/5": (200, {}, bytes(MAX_PICTURE_BYTES + 1)),
    }
    write_shop(tmp_path, [f"{host.name}/{place}" for place in range(6)])
    report = fetch(tmp_path, host.name)
    assert (report.num_fetched, report.num_present) == (1, 0)
    assert dict(report.problems) == {
        "not a picture": 1,
        "status 500": 1,
        "redirects to a host that is not listed": 1,
        "more than 3 redirects": 1,
        f"more than {MAX_PICTURE_BYTES:,} bytes": 1,
    }
    assert "        1  status 500" in str(report)
    failed = (tmp_path / "pictures/failed.csv").read_text().splitlines()
    assert failed[0] == "item_id,url,problem"
    assert f"p1,{host.name}/1,status 500" in failed
    host.answers |= {f"/{place}": (200, {}, PICTURE) for place in range(6)}
    report = fetch(tmp_path, host.name)
    assert (report.num_fetched, report.num_present, dict(report.problems)) == (5, 1, {})
    assert not (tmp_path / "pictures/failed.csv").exists()


def test_pictures_that_were_not_fetched_may_be_dropped(tmp_path):
    write_shop(tmp_path, ["https://shop.test/a.png"], 'unreadable_pictures = "drop"')
    assert load_dataset(tmp_path).items[0].picture is None


def test_several_pictures_are_fetched_at_once_and_a_slow_one_is_given_up(host):
    host.seconds_before_body = 0.2
    urls = [f"{host.name}/{place}" for place in range(12)]
    host.answers = {f"/{place}": (200, {}, PICTURE) for place in range(12)}
    outcomes = dict(fetch_all(urls, {host.name}, may_connect_to=on_loopback))
    assert set(outcomes.values()) == {PICTURE}
    assert 1 < host.most_at_once <= 8
    host.seconds_before_body = 2.0
    ((_, outcome),) = fetch_all(urls[:1], {host.name}, may_connect_to=on_loopback, max_seconds=0.2)
    assert str(outcome) == "not complete within 0.2 seconds"


def test_an_interrupted_run_keeps_what_it_has(host, tmp_path):
    host.answers = {f"/{place}": (200, {}, drawn_picture(place)) for place in range(20)}
    write_shop(tmp_path, [f"{host.name}/{place}" for place in range(20)])

    def interrupted(outcomes, label, total=None):
        for place, outcome in enumerate(outcomes):
            if place == 5:
                raise KeyboardInterrupt
            yield outcome

    with pytest.raises(KeyboardInterrupt):
        fetch_pictures(PictureUrls(tmp_path), [host.name], may_connect_to=on_loopback, progress=interrupted)
    report = fetch(tmp_path, host.name)
    assert (report.num_fetched, report.num_present) == (15, 5)


def test_private_addresses_are_refused_unless_allowed(host, tmp_path):
    host.answers = {"/a.png": (200, {}, PICTURE)}
    write_shop(tmp_path, [f"{host.name}/a.png"])
    report = fetch_pictures(PictureUrls(tmp_path), [host.name])
    assert dict(report.problems) == {"the host has an address that is not public": 1}
    assert host.asked == []


def test_without_hosts_the_command_lists_them_and_fetches_nothing(host, tmp_path):
    host.answers = {"/a.png": (200, {}, PICTURE)}
    urls = [f"{host.name}/a.png", "https://Shop.test/1.png", "https://shop.test:443/2.png", "http://shop.test/3.png"]
    write_shop(tmp_path, [*urls, "https:///nothing"])
    listed = CliRunner().invoke(app, ["fetch-pictures", str(tmp_path)])
    assert listed.exit_code == 0
    assert listed.stdout.splitlines() == [
        "        2  shop.test",
        f"        1  {host.name}",
        "        1  http://shop.test",
        "        1  not a url",
    ]
    assert not (tmp_path / "pictures").exists()
    fetched = CliRunner().invoke(app, ["fetch-pictures", str(tmp_path), "--host", host.name, "--private"])
    assert fetched.stdout.splitlines()[:3] == [
        f"1 picture fetched, 0 already there, in {tmp_path / 'pictures'}",
        "left out, on hosts that were not listed:",
        "        2  shop.test",
    ]
    assert host.asked == ["/a.png"]


def test_hosts_are_checked_before_anything_is_fetched(tmp_path):
    write_shop(tmp_path, ["https://shop.test/a.png"])
    for wrong in ("shop.test/pictures", "ftp://shop.test", "", "a b@c"):
        with pytest.raises(SettingsError, match="expected HOST or http://HOST"):
            fetch(tmp_path, wrong)
    with pytest.raises(SettingsError, match=r"--host cdn\.test: no picture is there; the hosts are"):
        fetch(tmp_path, "cdn.test")
    write_shop(tmp_path, ["a.png"])
    with pytest.raises(DatasetError, match="no item has a picture by url; name a column of urls"):
        PictureUrls(tmp_path)


def test_a_host_without_an_answer_is_a_failure_of_each_picture(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a.png"
    ((_, outcome),) = fetch_all([url], {parse_url(url).origin}, may_connect_to=on_loopback)
    assert str(outcome).startswith("the connection failed")
    ((_, outcome),) = fetch_all(["http://no-such-host.invalid/"], {"http://no-such-host.invalid"})
    assert str(outcome) == "the host cannot be resolved"


@pytest.mark.parametrize(
    "url", ["https://", "file:///etc/passwd", "https://ann:x@shop.test/", "https://a\\b/", "http://[x/"]
)
def test_other_urls_are_not_fetched(url):
    with pytest.raises(FetchError, match="not a url"):
        parse_url(url)


@given(st.text())
def test_any_text_is_a_url_or_refused(text):
    for url in (text, f"https://shop.test/{text}"):
        try:
            address = parse_url(url)
        except FetchError:
            continue
        assert address.target.isascii()
        assert not set(address.target) & set(" \r\n\\#")


@given(st.lists(st.text("abc,/ ", min_size=1).map(str.strip).filter(bool), min_size=1))
def test_the_first_of_several_urls_is_taken(paths):
    urls = [f"https://shop.test/{path}" for path in paths]
    first = first_url(", ".join(urls))
    assert first is not None
    assert urls[0].startswith(first.rstrip(", "))
    assert first.rstrip(", ") == urls[0].rstrip(", ")


def test_a_picture_is_kept_under_the_digest_of_its_url(tmp_path):
    kept = fetched_picture(tmp_path, "https://shop.test/a.png")
    assert kept.parent == tmp_path / "pictures"
    assert len(kept.name) == 64
