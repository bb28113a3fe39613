"""The Python client against a real server, and against the OpenAPI document."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.client import (
    CLAIRO,
    AsyncCLAIRO,
    ConflictError,
    NotFoundError,
    OverloadedError,
    ProblemError,
    RefusedError,
    UnavailableError,
)
from tests.running_service import drawn_picture, running_process
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with running_process(bundle, tmp_path_factory.mktemp("data"), "--bundles-dir", str(bundle.parent)) as service:
        yield service.url


@pytest.fixture
def client(url: str) -> Iterator[CLAIRO]:
    with CLAIRO(url) as client:
        yield client


def test_every_operation_of_the_service_is_a_method_of_both_clients(url: str) -> None:
    document = httpx.get(f"{url}/openapi.json").json()
    operation_ids = {
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    }
    for kind in (CLAIRO, AsyncCLAIRO):
        methods = {name for name in dir(kind) if not name.startswith("_")} - {"send", "close"}
        assert methods == operation_ids


def test_recommend_post_and_look(client: CLAIRO) -> None:
    answer = client.recommend(["item-1", "item-2"], limit=4)
    assert [item.rank for item in answer.items] == [1, 2, 3, 4]
    timed = client.recommend([("item-2", 2.0), ("item-1", 1.0)], limit=4)
    assert [item.item_id for item in timed.items] == [item.item_id for item in answer.items]
    picture = drawn_picture()
    posted = client.create_item("mugs/ä 1", title="Blue mug", picture=picture, attributes={"brand": "Fjord"})
    assert posted.item_id == "mugs/ä 1"
    assert client.get_item("mugs/ä 1").attributes == {"brand": "Fjord"}
    assert client.get_item_picture("mugs/ä 1") == picture
    assert client.list_items(limit=1).items[0].item_id == "mugs/ä 1"


def test_health_info_metrics_and_bundles(client: CLAIRO) -> None:
    assert client.check_live().status == "live"
    assert client.check_ready().status == "ready"
    served = client.get_info()
    assert "clairo_bundle_info" in client.get_metrics()
    (bundle,) = client.list_bundles().bundles
    assert (bundle.bundle_id, bundle.is_serving) == (served.bundle_id, True)
    assert client.activate_bundle(served.bundle_id).bundle_id == served.bundle_id


def test_problems_are_exceptions_that_say_what_the_service_said(client: CLAIRO) -> None:
    with pytest.raises(NotFoundError, match="no-such-item") as unknown:
        client.get_item("no-such-item")
    assert (unknown.value.status, unknown.value.kind) == (404, "unknown-item")
    assert unknown.value.request_id
    with pytest.raises(RefusedError) as refused:
        client.recommend([], limit=0)
    assert refused.value.errors[0].loc == ["body", "limit"]
    with pytest.raises(ConflictError):
        client.create_item("item-1", title="again")


async def test_the_async_client_does_the_same(url: str) -> None:
    async with AsyncCLAIRO(url) as client:
        answer = await client.recommend(["item-1"], limit=2)
        assert len(answer.items) == 2
        with pytest.raises(NotFoundError):
            await client.get_item("no-such-item")


class BusyService:
    """Refuses as often as told, then answers; keeps when it was asked."""

    def __init__(self, refusals: int, status: int = 429, retry_after: str | None = "1") -> None:
        self.refusals = refusals
        self.status = status
        self.retry_after = retry_after
        self.asked_at: list[float] = []
        self.headers = httpx.Headers()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked_at.append(time.monotonic())
        self.headers = request.headers
        if len(self.asked_at) <= self.refusals:
            headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
            return httpx.Response(self.status, headers=headers, text="busy")
        return httpx.Response(200, json={"status": "live"})


def test_a_busy_service_is_asked_again_when_it_says_so() -> None:
    service = BusyService(refusals=1)
    with CLAIRO("http://service", api_key="key-1", transport=httpx.MockTransport(service)) as client:
        assert client.check_live().status == "live"
    assert service.asked_at[1] - service.asked_at[0] >= 1.0
    assert service.headers["Authorization"] == "Bearer key-1"


def test_a_service_that_stays_busy_or_away_is_an_exception_after_all_attempts() -> None:
    for status, error_class in ((429, OverloadedError), (503, UnavailableError)):
        service = BusyService(refusals=99, status=status, retry_after=None)
        transport = httpx.MockTransport(service)
        with CLAIRO("http://service", max_attempts=2, transport=transport) as client, pytest.raises(error_class):
            client.check_live()
        assert len(service.asked_at) == 2


def test_an_error_that_is_no_problem_document_is_told_as_well() -> None:
    def break_down(_: httpx.Request) -> httpx.Response:
        return httpx.Response(502, text="<html>Bad gateway</html>")

    transport = httpx.MockTransport(break_down)
    told = pytest.raises(ProblemError, match="502 Bad Gateway: <html>")
    with CLAIRO("http://service", transport=transport) as client, told as error:
        client.check_live()
    assert error.value.kind == "about:blank"


def test_only_a_failure_to_connect_is_tried_again() -> None:
    failures: list[type[httpx.TransportError]] = []

    def fail_with(error_class: type[httpx.TransportError]) -> httpx.MockTransport:
        def fail(_: httpx.Request) -> httpx.Response:
            failures.append(error_class)
            raise error_class("broken")

        return httpx.MockTransport(fail)

    for error_class in (httpx.ConnectError, httpx.ReadError):
        client = CLAIRO("http://service", max_attempts=2, transport=fail_with(error_class))
        with client, pytest.raises(error_class):
            client.create_item("mug", title="mug")
    assert failures == [httpx.ConnectError, httpx.ConnectError, httpx.ReadError]


async def test_the_async_client_waits_as_well() -> None:
    service = BusyService(refusals=1, status=503, retry_after=None)
    async with AsyncCLAIRO("http://service", transport=httpx.MockTransport(service)) as client:
        assert (await client.check_live()).status == "live"
    assert len(service.asked_at) == 2


def test_the_client_needs_neither_torch_nor_a_server(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys, service.client; print([name for name in ('torch', 'fastapi', 'redis') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert ended.stdout.strip() == "[]"
