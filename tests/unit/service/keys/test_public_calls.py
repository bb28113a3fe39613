"""Which calls are public, and which address a call counts for."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from service.keys.public_calls import client_address, is_public
from service.keys.shared_rate import KeyRates
from service.origins import parsed_origin

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def address(peer: str, *forwarded: str) -> str:
    headers = Headers(raw=[(b"x-forwarded-for", value.encode()) for value in forwarded])
    return client_address({"client": (peer, 5000)}, headers, PROXIES)


@pytest.mark.parametrize(
    ("method", "path", "is_one"),
    [
        ("POST", "/recommend", True),
        ("POST", "/recommend/batch", False),
        ("POST", "/complements", True),
        ("POST", "/feedback", True),
        ("POST", "/feedback/bulk", False),
        ("GET", "/popular", True),
        ("GET", "/trending", True),
        ("GET", "/latest", True),
        ("GET", "/items", False),
        ("HEAD", "/items/a/b/picture", True),
        ("GET", "/items/mug/bought-together", True),
        ("PATCH", "/items/mug", False),
        ("GET", "/users/u-1", False),
        ("GET", "/users/u-1/buy-again", False),
        ("GET", "/placements", False),
        ("GET", "/recommend", False),
    ],
)
def test_pages_read_recommendations_and_pictures_and_write_feedback(method: str, path: str, is_one: bool) -> None:
    assert is_public(method, path) is is_one


def test_the_peer_counts_unless_it_is_a_trusted_proxy() -> None:
    assert address("192.0.2.1", "198.51.100.7") == "192.0.2.1"
    assert address("10.0.0.1", "198.51.100.7") == "198.51.100.7"
    assert address("10.0.0.1") == "10.0.0.1"
    assert address("::ffff:10.0.0.1", "198.51.100.7, 10.2.2.2") == "198.51.100.7"


def test_what_a_client_claims_before_its_proxy_does_not_count() -> None:
    assert address("10.0.0.1", "203.0.113.9, 198.51.100.7") == "198.51.100.7"
    assert address("10.0.0.1", "203.0.113.9", "198.51.100.7, 10.9.9.9") == "198.51.100.7"


def test_the_port_that_a_proxy_adds_does_not_count() -> None:
    assert address("10.0.0.1", "198.51.100.7:50312, 10.9.9.9:443") == "198.51.100.7"
    assert address("10.0.0.1", "[2001:db9:1:2::1]:50312") == address("10.0.0.1", "2001:db9:1:2::1")


def test_the_addresses_of_one_ipv6_network_are_one_client() -> None:
    assert address("2001:db9:1:2::1") == address("2001:db9:1:2:ffff::9") == "2001:db9:1:2::/64"
    assert address("2001:db9:1:3::1") != address("2001:db9:1:2::1")


@given(st.text(max_size=30), st.lists(st.text(st.characters(max_codepoint=255), max_size=40), max_size=3))
def test_any_header_gives_a_short_address(peer: str, forwarded: list[str]) -> None:
    headers = Headers(raw=[(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded])
    for sender in (peer, "10.0.0.1"):
        assert len(client_address({"client": (sender, 1)}, headers, PROXIES)) <= 100


async def test_addresses_without_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.keys.shared_rate.MAX_BUCKETS", 10)
    rates = KeyRates(lambda: 0.0)
    for number in range(100):
        await rates.take(f"key:{number}", 1)
        # In use all the time: never among the dropped ones.
        assert (await rates.take("key:busy", 1) == 0.0) == (number == 0)
    assert len(rates._buckets) == 10


@given(
    st.sampled_from(["http", "https"]),
    st.from_regex(r"[a-z0-9]+(\.[a-z0-9-]+)*", fullmatch=True),
    st.integers(0, 65535) | st.none(),
)
def test_an_origin_written_by_a_browser_stays_as_it_is(scheme: str, host: str, port: int | None) -> None:
    written = parsed_origin(f"{scheme}://{host}" if port is None else f"{scheme}://{host}:{port}")
    assert parsed_origin(written) == written
    assert parsed_origin(f" {written.upper()}/ ") == written


@pytest.mark.parametrize("text", ["", "*", "null", "shop.example", "ftp://shop.example", "https://shop.example/page"])
def test_other_texts_are_not_origins(text: str) -> None:
    with pytest.raises(ValueError, match="expected an origin without a path"):
        parsed_origin(text)
