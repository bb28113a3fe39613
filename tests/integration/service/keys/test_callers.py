"""A running service without keys: what a browser, a proxy and a name that resolves to this machine can do."""

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.running_service import running_process
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with pytest.MonkeyPatch.context() as environment:
        # uvicorn reads it by itself.
        environment.setenv("FORWARDED_ALLOW_IPS", "*")
        with (
            running_process(bundle, tmp_path_factory.mktemp("data"), "--keep-alive-seconds", "1") as service,
            httpx.Client(base_url=service.url, timeout=60) as client,
        ):
            yield client


def test_a_page_of_another_origin_cannot_post_a_form(client: httpx.Client) -> None:
    form = {"data": {"item_id": "spam", "title": "Spam"}, "files": {"picture": ("", b"")}}
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        refused = client.post("/items", headers={"Origin": origin}, **form)  # type: ignore[arg-type]
        assert refused.status_code == 403, refused.text
        assert refused.json()["type"] == "urn:clairo:problem:foreign-origin"
    assert client.get("/items/spam").status_code == 404
    own = client.put("/items/mug", json={"title": "Mug"}, headers={"Origin": str(client.base_url).rstrip("/")})
    assert own.status_code == 201


def test_a_name_that_resolves_here_is_not_this_service(client: httpx.Client) -> None:
    port = urlsplit(str(client.base_url)).port
    for host in ("evil.example", f"evil.example:{port}"):
        refused = client.get("/items", headers={"Host": host, "Origin": f"http://{host}"})
        assert refused.status_code == 403
        assert refused.json()["type"] == "urn:clairo:problem:untrusted-host"
        assert "CLAIRO_ALLOWED_HOSTS" in refused.json()["detail"]
    assert client.get("/items", headers={"Host": f"localhost:{port}"}).status_code == 200
    # Probes and scrapers call by any name.
    assert client.get("/health/ready", headers={"Host": "evil.example"}).status_code == 200


def test_a_forwarded_request_is_a_strangers_whatever_it_claims(client: httpx.Client) -> None:
    for headers in ({"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"X-Real-IP": "::1"}):
        assert client.get("/items", headers=headers).status_code == 401


def test_an_idle_connection_closes_after_the_time_in_the_settings(client: httpx.Client) -> None:
    address = urlsplit(str(client.base_url))
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=30) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        started_at = time.monotonic()
        while connection.recv(65536):
            pass
        assert 0.5 < time.monotonic() - started_at < 4
