"""Without keys only local programs and the service's own pages are answered; with keys, Host is checked on demand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from service.errors import ForeignOriginError, NoKeyError, UntrustedHostError
from service.keys.callers import CallerCheck, is_local

LOCAL, STRANGER = "127.0.0.1", "192.0.2.7"
OWN_HOSTS = ("localhost:8000", "LOCALHOST", "localhost.:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "[::1]")
FOREIGN_HOSTS = (
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "evil.example/localhost",
    "localhost:8000:8000",
    "[::1",
    "127.1",
    "0x7f000001",
    "localhost, evil.example",
    "",
)


def check(allowed: str = "", host: str = "127.0.0.1", *, is_open: bool = False) -> CallerCheck:
    return CallerCheck(is_open, frozenset(filter(None, allowed.split(","))), host)


def call(callers: CallerCheck, peer: str = LOCAL, **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in ({"host": "localhost:8000"} | headers).items()}
    callers.check_without_keys({"type": "http", "client": (peer, 5000)}, Headers(named))


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_this_machines_names_and_addresses_are_answered(host: str) -> None:
    call(check(), host=host)


@pytest.mark.parametrize("host", [*FOREIGN_HOSTS, "192.0.2.1:8000"])
def test_another_host_is_refused_with_the_setting(host: str) -> None:
    with pytest.raises(UntrustedHostError, match="CLAIRO_ALLOWED_HOSTS"):
        call(check(), host=host)


def test_a_request_without_host_is_refused() -> None:
    with pytest.raises(UntrustedHostError):
        check().check_without_keys({"type": "http", "client": (LOCAL, 1)}, Headers({}))


def test_a_listed_host_is_answered_on_any_port_and_a_listed_port_on_that_alone() -> None:
    callers = check("shop.example,admin.example:8443")
    for host in ("shop.example", "Shop.Example:9000", "admin.example:8443"):
        call(callers, host=host)
    for host in ("admin.example", "admin.example:8000", "a.shop.example"):
        with pytest.raises(UntrustedHostError):
            call(callers, host=host)


def test_the_name_that_the_service_listens_on_is_answered() -> None:
    call(check(host="Shop-Server"), host="shop-server:8000")


def test_an_open_network_is_called_by_address_or_by_a_listed_name() -> None:
    for host in ("192.0.2.1:8000", "[2001:db8::1]:8000", "localhost:8000", "clairo:8000"):
        call(check("clairo", is_open=True), STRANGER, host=host)
    with pytest.raises(UntrustedHostError):
        call(check(is_open=True), STRANGER, host="evil.example:8000")


def test_a_page_of_this_service_may_write_and_another_may_not() -> None:
    call(check(), origin="http://localhost:8000")
    call(check("shop.example"), host="shop.example", origin="https://shop.example")
    call(check("shop.example"), origin="https://shop.example")
    for origin in ("https://evil.example", "http://localhost:3000", "http://127.0.0.1:8000", "null", "", "localhost"):
        for callers in (check(), check(is_open=True)):
            with pytest.raises(ForeignOriginError, match="allowed_hosts"):
                call(callers, origin=origin)


@pytest.mark.parametrize(
    "header", ["forwarded", "x_forwarded_for", "X_Forwarded_Host", "x_forwarded_proto", "via", "x_real_ip"]
)
def test_a_proxy_on_this_machine_makes_nobody_local(header: str) -> None:
    for value in ("127.0.0.1", "for=127.0.0.1", ""):
        with pytest.raises(NoKeyError):
            call(check(), **{header: value})


def test_an_ipv4_peer_of_an_ipv6_socket_is_local_by_its_own_address() -> None:
    call(check(), "::ffff:127.0.0.1")
    call(check(), "::1")
    with pytest.raises(NoKeyError):
        call(check(), "::ffff:192.0.2.7")


def test_another_machine_is_never_local() -> None:
    with pytest.raises(NoKeyError, match="clairo-serve keys create"):
        call(check(), STRANGER)
    assert not is_local({"client": ("a name", 1)}, Headers({}))
    assert is_local({"client": None}, Headers({}))


def test_with_keys_host_matters_only_if_hosts_are_listed() -> None:
    check().check_with_keys(Headers({"host": "evil.example"}))
    listed = check("shop.example")
    for host in ("shop.example", "192.0.2.1", "localhost"):
        listed.check_with_keys(Headers({"host": host}))
    with pytest.raises(UntrustedHostError):
        listed.check_with_keys(Headers({"host": "evil.example"}))


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_any_host_is_this_machines_or_refused(host: str) -> None:
    try:
        call(check(), host=host)
    except UntrustedHostError:
        return
    name = host.lower().rsplit(":", 1)[0] if "]" not in host else host
    assert name.startswith(("localhost", "127.", "[::1]", "[0"))
