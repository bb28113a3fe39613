"""The client on answers that are not the service's, and on attempts that may have been carried out."""

from collections.abc import Callable

import httpx2
import pytest

from clairo_client import CLAIRO, ProblemError, RefusedError
from clairo_client import clients as client_module

CALLS: dict[str, Callable[[CLAIRO], object]] = {
    "get_item": lambda client: client.get_item("mug"),
    "add_feedback": lambda client: client.add_feedback([{"user_id": "u", "item_id": "mug", "type": "click"}]),
    "retire_item": lambda client: client.retire_item("mug"),
    "forget_user": lambda client: client.forget_user("u"),
    "delete_placement": lambda client: client.delete_placement("cart"),
}


class Recorded:
    """Answers every request alike, and keeps the requests."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._answer = answer
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self._answer


def requests_of(send: Callable[[CLAIRO], object], answer: httpx2.Response) -> list[httpx2.Request]:
    service = Recorded(answer)
    with (
        CLAIRO("http://shop", max_attempts=2, timeout_seconds=7, transport=httpx2.MockTransport(service)) as client,
        pytest.raises(ProblemError),
    ):
        send(client)
    return service.requests


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_WAIT_SECONDS", 0.0)


@pytest.mark.parametrize("name", CALLS)
def test_a_redirect_is_an_error_that_names_its_target_and_no_success(name: str) -> None:
    moved = httpx2.Response(308, headers={"Location": "https://shop.example/items"})
    transport = httpx2.MockTransport(Recorded(moved))
    expected = pytest.raises(ProblemError, match=r"http://shop/.* redirects to https://shop\.example/items")
    with CLAIRO("http://shop", transport=transport) as client, expected as error:
        CALLS[name](client)
    assert error.value.status == 308


@pytest.mark.parametrize("name", CALLS)
def test_a_page_of_something_else_is_an_error_that_says_what_answered(name: str) -> None:
    page = httpx2.Response(200, html="<html>Sign in</html>", headers={"X-Request-ID": "r-1"})
    transport = httpx2.MockTransport(Recorded(page))
    expected = pytest.raises(ProblemError, match=r"answered text/html.*Sign in.*check the client's url")
    with CLAIRO("http://shop", transport=transport) as client, expected as error:
        CALLS[name](client)
    assert error.value.request_id == "r-1"


def test_an_answer_that_lacks_a_field_is_an_error_that_names_it() -> None:
    service = Recorded(httpx2.Response(200, json={"jobs": [{"job_id": "j"}]}))
    transport = httpx2.MockTransport(service)
    expected = pytest.raises(ProblemError, match=r"JobList\.jobs\.0\.state: Field required")
    with CLAIRO("http://shop", transport=transport) as client, expected:
        client.list_jobs()


@pytest.mark.usefixtures("no_waits")
def test_a_rollback_that_may_have_happened_is_not_repeated_and_a_refused_one_is() -> None:
    assert len(requests_of(lambda client: client.roll_back_bundle(), httpx2.Response(503))) == 1
    assert len(requests_of(lambda client: client.start_experiment("e", 0.5, "b"), httpx2.Response(503))) == 1
    assert len(requests_of(lambda client: client.roll_back_bundle(), httpx2.Response(429))) == 2
    assert len(requests_of(lambda client: client.activate_bundle("b"), httpx2.Response(503))) == 2


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize(
    "create",
    [
        lambda client: client.create_item("mug", title="Mug"),
        lambda client: client.create_items([{"item_id": "mug", "title": "Mug"}]),
        lambda client: client.patch_item_lines([{"item_id": "mug", "title": "Mug"}]),
    ],
    ids=["create_item", "create_items", "patch_item_lines"],
)
def test_attempts_of_a_call_that_creates_share_a_key_and_calls_do_not(create: Callable[[CLAIRO], object]) -> None:
    sent = [*requests_of(create, httpx2.Response(503)), *requests_of(create, httpx2.Response(503))]
    keys = [request.headers["Idempotency-Key"] for request in sent]
    assert len(keys) == 4
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_calls_that_load_a_bundle_wait_longer_than_the_others() -> None:
    loading: list[Callable[[CLAIRO], object]] = [
        lambda client: client.activate_bundle("b"),
        lambda client: client.roll_back_bundle(),
        lambda client: client.start_experiment("e", 0.5, "b"),
    ]
    for send in loading:
        (request,) = requests_of(send, httpx2.Response(409))
        assert request.extensions["timeout"] == {"connect": 7, "write": 7, "pool": 7, "read": 1800}
    (request,) = requests_of(CALLS["get_item"], httpx2.Response(404))
    assert set(request.extensions["timeout"].values()) == {7}


def test_a_lone_id_is_no_cart_of_its_letters() -> None:
    service = Recorded(httpx2.Response(422))
    with CLAIRO("http://shop", transport=httpx2.MockTransport(service)) as client, pytest.raises(RefusedError):
        client.list_complements("mug-12")
    assert b'"item_ids":"mug-12"' in service.requests[0].content.replace(b" ", b"")


@pytest.mark.parametrize(("api_key", "sent"), [("key-1\n", "Bearer key-1"), ("", None), (None, None)])
def test_a_key_from_a_file_or_an_empty_variable_is_a_header_that_can_be_sent(
    api_key: str | None, sent: str | None
) -> None:
    service = Recorded(httpx2.Response(200, json={"status": "live"}))
    with CLAIRO("http://shop", api_key=api_key, transport=httpx2.MockTransport(service)) as client:
        client.check_live()
    assert service.requests[0].headers.get("Authorization") == sent
