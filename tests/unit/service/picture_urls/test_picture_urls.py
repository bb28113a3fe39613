"""Allowed urls, allowed addresses, and accepted answers."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.encoders.pictures import MAX_PICTURE_BYTES
from clairo_core.errors import UnreadablePictureError
from clairo_core.items import Item
from clairo_core.values.public_addresses import is_public
from service.errors import OverloadedError, PictureUrlError
from service.picture_urls import fetch as fetching
from service.picture_urls.fetch import PictureUrls, SentItem
from service.picture_urls.hosts import parsed_hosts, parsed_picture_url
from tests.picture_host import FakeHost, FakeResolver, running_host
from tests.running_service import drawn_picture

HOSTS = parsed_hosts("shop.test, http://old.test, [2001:db8::1]")
PICTURE = drawn_picture()


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    async with running_host() as host:
        yield host


def asking_loopback(host: FakeHost, **settings: float) -> PictureUrls:
    """Fetches from loopback, which only a test can allow."""
    resolver = FakeResolver(host.port, ["127.0.0.1"])
    return PictureUrls(HOSTS, resolve=resolver, may_connect_to=lambda address: address == "127.0.0.1", **settings)


# --- urls


def test_without_hosts_every_url_is_refused_and_the_setting_named() -> None:
    with pytest.raises(PictureUrlError, match="CLAIRO_PICTURE_URL_HOSTS"):
        parsed_picture_url("https://shop.test/mug.png", parsed_hosts(""))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://elsewhere.test/mug.png", "not on this service's list"),
        ("https://shop.test.elsewhere.test/mug.png", "not on this service's list"),
        ("https://elsewhere.test/shop.test", "not on this service's list"),
        ("https://localhost/", "not on this service's list"),
        ("https://2130706433/", "not on this service's list"),
        ("https://0x7f000001/", "not on this service's list"),
        ("https://0177.0.0.1/", "not on this service's list"),
        ("https://[::1]/", "not on this service's list"),
        ("https://[::ffff:127.0.0.1]/", "not on this service's list"),
        ("https://shop.test@elsewhere.test/", "user or a password"),
        ("https://ann:secret@shop.test/", "user or a password"),
        ("https://shop.test:8443/", "expected 443"),
        ("http://old.test:22/", "expected 80"),
        ("https://shop.test:99999/", "not a url"),
        ("https://[shop.test/", "not a url"),
        ("http://shop.test/mug.png", "https only"),
        ("ftp://shop.test/mug.png", "got ftp"),
        ("file:///etc/passwd", "got file"),
        ("gopher://shop.test/", "got gopher"),
        ("/items/mug/picture", "no scheme"),
        ("", "no scheme"),
        ("https:///mug.png", "not on this service's list"),
        (" https://shop.test/", "has spaces"),
        ("https://shop.test/a\r\nHost: elsewhere.test", "control characters"),
        ("https://elsewhere.test\\@shop.test/", "backslashes"),
        ("https://shop.test\t/", "control characters"),
        ("https://shop.test。elsewhere.test/", "not on this service's list"),
        ("https://shop.test/" + "a" * 3000, "3018 characters"),
    ],
)
def test_a_refused_url_has_a_reason(url: str, why: str) -> None:
    with pytest.raises(PictureUrlError, match=why) as refused:
        parsed_picture_url(url, HOSTS)
    assert refused.value.errors[0]["loc"] == ["picture_url"]


def test_a_url_of_a_listed_host_is_parsed_and_quoted() -> None:
    url = parsed_picture_url("https://SHOP.test:443/a b/ü.png".replace(" ", "%20") + "?size=ä#part", HOSTS)
    assert (url.scheme, url.host, url.port, url.target) == ("https", "shop.test", 443, "/a%20b/%C3%BC.png?size=%C3%A4")
    assert parsed_picture_url("http://old.test", HOSTS).target == "/"
    assert parsed_picture_url("https://[2001:DB8:0::1]/", HOSTS).host == "[2001:db8::1]"


@given(st.text(max_size=60))
def test_any_text_is_a_url_of_a_listed_host_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://shop.test{text}"):
        try:
            parsed = parsed_picture_url(url, HOSTS)
        except PictureUrlError:
            continue
        assert parsed.host in HOSTS
        assert parsed.target.startswith("/")
        assert parsed.target.isascii()
        assert not set(parsed.target) & set(" \r\n\t")


@pytest.mark.parametrize("hosts", ["ftp://shop.test", "shop.test:8080", "shop.test/pictures", "*", "a b", "http://"])
def test_only_hosts_can_be_listed(hosts: str) -> None:
    with pytest.raises(ValueError, match="expected HOST"):
        parsed_hosts(hosts)


# --- addresses

NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "fc00::1",
    "ff02::1",
    "2001:db8::1",
    "no address",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_internet_addresses_are_public(address: str) -> None:
    assert is_public(address)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_embedded_address_is_as_public_as_by_itself(address: IPv4Address) -> None:
    for outer in (f"::ffff:{address}", f"64:ff9b::{address}", str(IPv6Address((0x2002 << 112) | int(address) << 80))):
        assert is_public(outer) == is_public(str(address))


async def test_loopback_is_refused_by_every_name(host: FakeHost) -> None:
    names = ["localhost", "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]"]
    # Refused even if the operator lists these names.
    urls = PictureUrls(parsed_hosts(", ".join(f"http://{name}" for name in [*names, "[::ffff:7f00:1]"])))
    for name in names:
        with pytest.raises(PictureUrlError, match=r"not public|cannot be resolved"):
            await urls.fetch(f"http://{name}/")
    assert host.requests == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["169.254.169.254"], []])
async def test_a_name_with_a_private_address_is_refused(host: FakeHost, addresses: list[str]) -> None:
    with pytest.raises(PictureUrlError, match="not public") as refused:
        await PictureUrls(HOSTS, resolve=FakeResolver(host.port, addresses)).fetch("http://old.test/mug.png")
    assert not any(address in str(refused.value) for address in addresses)
    assert host.requests == []


async def test_dns_rebinding_leads_nowhere(host: FakeHost) -> None:
    """The name resolves to a public address once, then to loopback; it is resolved only once."""
    # 192.0.2.1 belongs to nobody and counts as public here: the connection must go to it.
    resolver = FakeResolver(host.port, ["192.0.2.1"], ["127.0.0.1"])
    urls = PictureUrls(HOSTS, resolve=resolver, may_connect_to=lambda address: address == "192.0.2.1", max_seconds=0.3)
    host.will_answer("200 OK", PICTURE)
    with pytest.raises(PictureUrlError, match=r"within 0.3 seconds|failed or broke off"):
        await urls.fetch("http://old.test/mug.png")
    assert resolver.num_asked == 1
    with pytest.raises(PictureUrlError, match="not public"):
        await urls.fetch("http://old.test/mug.png")
    assert host.requests == []


async def test_a_connection_to_an_unchecked_peer_is_closed(host: FakeHost) -> None:
    """The socket's peer decides, not the requested address."""
    asked: list[str] = []

    def public_at_first(address: str) -> bool:
        asked.append(address)
        return len(asked) == 1

    host.will_answer("200 OK", PICTURE)
    urls = PictureUrls(HOSTS, resolve=FakeResolver(host.port, ["127.0.0.1"]), may_connect_to=public_at_first)
    with pytest.raises(PictureUrlError, match="not public"):
        await urls.fetch("http://old.test/mug.png")
    assert asked == ["127.0.0.1", "127.0.0.1"]
    await asyncio.sleep(0.05)
    assert host.requests == []


# --- answers


async def test_a_picture_is_fetched_from_a_listed_host(host: FakeHost) -> None:
    host.will_answer("200 OK", PICTURE)
    sent = SentItem(Item(item_id="mug", texts={"title": "Mug"}), "http://old.test/mug.png?size=2")
    item = await asking_loopback(host).with_picture(sent)
    assert item.picture == PICTURE
    assert item.texts == {"title": "Mug"}
    (request,) = host.requests
    assert request.startswith(b"GET /mug.png?size=2 HTTP/1.1\r\nHost: old.test\r\n")


async def test_an_item_without_a_url_is_unchanged() -> None:
    item = Item(item_id="mug", picture=b"anything")
    assert await PictureUrls({}).with_picture(SentItem(item)) is item


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed(host: FakeHost, status: str) -> None:
    host.will_answer(status, PICTURE, "Location: http://127.0.0.1/admin")
    with pytest.raises(PictureUrlError, match="redirects"):
        await asking_loopback(host).fetch("http://old.test/mug.png")
    assert len(host.requests) == 1


@pytest.mark.parametrize("status", ["204 No Content", "206 Partial Content", "404 Not Found", "500 Fault"])
async def test_another_status_is_an_error(host: FakeHost, status: str) -> None:
    host.will_answer(status, b"")
    with pytest.raises(PictureUrlError, match=f"status {status[:3]}"):
        await asking_loopback(host).fetch("http://old.test/mug.png")


def test_an_undecodable_picture_is_an_error_of_its_url_if_it_came_by_one() -> None:
    item = Item(item_id="mug")
    with (
        pytest.raises(PictureUrlError, match=r"the picture that old.test sent cannot be used: damaged"),
        SentItem(item, "http://old.test/mug.png").blaming_url(),
    ):
        raise UnreadablePictureError("damaged")
    with pytest.raises(UnreadablePictureError), SentItem(item).blaming_url():
        raise UnreadablePictureError("damaged")


async def test_a_picture_that_is_too_large_is_cut_off_whatever_its_declared_length(host: FakeHost) -> None:
    body = PICTURE + bytes(MAX_PICTURE_BYTES)
    host.will_answer("200 OK", body)
    with pytest.raises(PictureUrlError, match="more than 10,485,760 bytes"):
        await asking_loopback(host).fetch("http://old.test/mug.png")
    host.answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
    with pytest.raises(PictureUrlError, match="more than 10,485,760 bytes"):
        await asking_loopback(host).fetch("http://old.test/mug.png")


async def test_a_slow_host_is_an_error(host: FakeHost) -> None:
    host.will_answer("200 OK", PICTURE)
    host.seconds_between_bytes = 0.02
    urls = asking_loopback(host, max_seconds=0.2)
    with pytest.raises(PictureUrlError, match=r"within 0.2 seconds"):
        await urls.fetch("http://old.test/mug.png")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort", b"SSH-2.0-OpenSSH\r\n"]
)
async def test_a_host_that_breaks_off_or_does_not_speak_http_is_an_error(host: FakeHost, answer: bytes) -> None:
    host.answer = answer
    with pytest.raises(PictureUrlError, match="failed or broke off"):
        await asking_loopback(host).fetch("http://old.test/mug.png")


async def test_a_host_without_tls_gets_no_https_request(host: FakeHost) -> None:
    host.waits_for = b"\x16\x03"  # a handshake record
    host.will_answer("200 OK", PICTURE)
    with pytest.raises(PictureUrlError, match="failed or broke off"):
        await asking_loopback(host).fetch("https://shop.test/mug.png")
    host.waits_for = b"never"
    with pytest.raises(PictureUrlError, match=r"within 0.2 seconds"):
        await asking_loopback(host, max_seconds=0.2).fetch("https://shop.test/mug.png")
    assert not any(b"mug.png" in request for request in host.requests)


async def test_certificates_are_read_once_and_not_for_each_picture(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching.tls_context()

    def read_again() -> None:
        raise AssertionError("certificates are read on the event loop")

    monkeypatch.setattr("httpcore._async.connection.default_ssl_context", read_again)
    host.waits_for = b"\x16\x03"
    with pytest.raises(PictureUrlError, match="failed or broke off"):
        await asking_loopback(host).fetch("https://shop.test/mug.png")


async def test_concurrent_fetches_are_limited(host: FakeHost) -> None:
    host.will_answer("200 OK", PICTURE)
    host.seconds_between_bytes = 0.02
    urls = asking_loopback(host, max_seconds=0.5)
    fetches = [asyncio.create_task(urls.fetch("http://old.test/mug.png")) for _ in range(fetching.MAX_AT_ONCE)]
    await asyncio.sleep(0.1)
    with pytest.raises(OverloadedError, match="8 pictures"):
        await urls.fetch("http://old.test/mug.png")
    await asyncio.gather(*fetches, return_exceptions=True)
    host.seconds_between_bytes = 0.0
    assert await urls.fetch("http://old.test/mug.png") == PICTURE
