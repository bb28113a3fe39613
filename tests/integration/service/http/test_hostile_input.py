"""Hostile bodies, pictures and connections are answered as declared, never with 5xx, and the service stays up.

Over a real network, since much of it never reaches the app. Mistakes of a shop's own clients are in `test_bad_input`.
"""

import base64
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

from benchmarks.shop.clients import declared_statuses
from tests.hostile_bodies import BODIES, MEBIBYTE, Hostile
from tests.hostile_pictures import FINE, HOSTILE_PICTURES
from tests.running_service import running_process
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with running_process(bundle, tmp_path_factory.mktemp("data")) as service:
        yield service.url
        assert not [line for line in service.lines if "Traceback" in line]


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def declared(client: httpx.Client) -> dict[str, set[int]]:
    return declared_statuses(client.get("/openapi.json").json())


def assert_is_as_declared(answer: httpx.Response, status: int, declared: Mapping[str, set[int]]) -> None:
    assert answer.status_code == status, answer.text[:500]
    assert status in declared[f"{answer.request.method} {answer.request.url.path}"]
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def assert_is_alive(client: httpx.Client) -> None:
    answer = client.post("/recommend", json={"history": ["item-1"], "limit": 3})
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == 3


@pytest.mark.parametrize("hostile", BODIES.values(), ids=BODIES.keys())
def test_a_hostile_body_is_answered_as_declared(
    client: httpx.Client, declared: Mapping[str, set[int]], hostile: Hostile
) -> None:
    headers = {"Content-Type": hostile.content_type, **hostile.headers}
    answer = client.post(hostile.path, content=hostile.body, headers=headers)
    assert_is_as_declared(answer, hostile.status, declared)
    assert_is_alive(client)


@pytest.mark.parametrize(
    ("name", "picture", "status"),
    [pytest.param(name, *of, id=name) for name, of in HOSTILE_PICTURES.items()],
)
def test_a_hostile_picture_is_refused_by_its_content_or_shown_as_a_picture(
    client: httpx.Client, declared: Mapping[str, set[int]], name: str, picture: bytes, status: int
) -> None:
    item_id = name.replace(" ", "-").replace(",", "").replace("*", "")
    sent = client.post("/items", json={"item_id": item_id, "picture": base64.b64encode(picture).decode()})
    assert_is_as_declared(sent, status, declared)
    # The declared content type and the file name do not matter.
    files = {"picture": ("../x.svg", picture, "image/svg+xml")}
    form = client.post("/items", data={"item_id": f"{item_id}-form"}, files=files)
    assert_is_as_declared(form, status, declared)
    if status == FINE:
        shown = client.get(f"/items/{item_id}/picture")
        assert shown.content == picture
        assert shown.headers["content-type"] in ("image/png", "image/jpeg", "image/webp")
        assert shown.headers["x-content-type-options"] == "nosniff"
    else:
        assert client.get(f"/items/{item_id}").status_code == 404
    assert_is_alive(client)


HEAD = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

CONNECTIONS = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "a chunk of no size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk below zero": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
    "a huge chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": HEAD + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{"history": []}\r\n0\r\n\r\n',
    "a length below zero": HEAD + b"Content-Length: -5\r\n\r\n{}",
    "a length that is not a number": HEAD + b"Content-Length: 1e3\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    "a length and chunks": HEAD
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "an unknown transfer encoding": HEAD + b"Transfer-Encoding: evil\r\n\r\n{}",
    "a header of 1 MiB": HEAD + b"X-Long: " + b"x" * MEBIBYTE + b"\r\n\r\n",
    "ten thousand headers": HEAD + b"X-A: b\r\n" * 10_000 + b"Content-Length: 2\r\n\r\n{}",
    "a header that is folded": HEAD + b"X-A: b\r\n  c: d\r\nContent-Length: 2\r\n\r\n{}",
    "a header with a zero byte": HEAD + b"X-A: \x00\r\nContent-Length: 2\r\n\r\n{}",
    "a path that is not one": b"GET http:\\\\evil HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path of bytes": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path with dots": b"GET /playground/../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an unknown method": b"BREW /recommend HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /items HTTP/1.1\r\n\r\n",
    "an older HTTP": b"GET /items HTTP/0.9\r\n\r\n",
    "a newer HTTP": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", CONNECTIONS.values(), ids=CONNECTIONS.keys())
def test_a_hostile_connection_ends_with_400s_or_none(client: httpx.Client, url: str, sent: bytes) -> None:
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10) as connection:
        received = b""
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                received += part
        except TimeoutError:
            raise
        except OSError:
            # The server closed while we still wrote; shutting down a closed socket is "not connected" then.
            pass
    if received:
        assert 200 <= int(received.split()[1]) < 500, received[:500]
        assert b"root:" not in received
    assert_is_alive(client)


def test_a_long_filter_in_many_pieces_reaches_the_app(url: str) -> None:
    address = urlsplit(url)
    line = b"GET /items/item-1/similar?filter=" + b"%F0%9F%90%9D" * 2000 + b" HTTP/1.1\r\n"
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=30) as connection:
        for start in range(0, len(line), 4000):
            connection.sendall(line[start : start + 4000])
            time.sleep(0.05)
        connection.sendall(b"Host: localhost\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"application/problem+json" in received
    assert b"Invalid HTTP request" not in received


@pytest.mark.parametrize(
    "begun", [b"X-Long: ", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Long: "], ids=["head", "trailers"]
)
def test_a_head_or_trailers_that_never_end_are_refused_and_not_kept(url: str, begun: bytes) -> None:
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=30) as connection:
        connection.sendall(HEAD + begun)
        num_pieces = 0
        # Until the connection is reset.
        with suppress(OSError):
            while num_pieces < 1000:
                connection.sendall(b"x" * 4000)
                num_pieces += 1
                time.sleep(0.005)
    assert num_pieces < 500


@pytest.mark.parametrize(
    "path",
    [
        "/items/..%2f..%2fetc%2fpasswd",
        "/items/%2e%2e/%2e%2e/etc/passwd",
        "/items/%252e%252e%252fetc",
        "/items/%00",
        "/items/%ff%fe",
        "/items/" + "a/" * 2000,
        "/items/a%0d%0aX-Evil:%20b",
        "/items/%2fpicture",
        "/items/..%2f/picture",
        "/users/%00",
        "/users/%ed%a0%80",
        "/jobs/..%2f..%2f",
        "/jobs/%00",
        "/playground/%2e%2e/app.py",
        "/items?cursor=" + "A" * 64,
        "/items?limit=9999999999999999999999",
        "/items?q=%00",
        "/items/item-1/similar?filter=" + "%F0%9F%90%9D" * 2000,
        "/items/item-1/similar?filter=" + "%F0%9F%90%9D" * 4000,
    ],
)
def test_a_hostile_path_names_nothing(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code < 500, answer.text
    assert "x-evil" not in answer.headers
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    assert_is_alive(client)


def test_there_are_at_least_sixty_bodies_and_pictures() -> None:
    assert len(BODIES) + len(HOSTILE_PICTURES) >= 60
