"""The Python client against a real server, and against the OpenAPI document."""

import inspect
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import httpx2
import pytest
from packaging.requirements import Requirement

from clairo_client import (
    CLAIRO,
    AsyncCLAIRO,
    ConflictError,
    FeedbackEvent,
    HistoryEntry,
    NewItem,
    NotFoundError,
    OverloadedError,
    PlacementRules,
    ProblemError,
    RecommendRequest,
    RefusedError,
    UnavailableError,
    calls,
)
from tests.client_answers import ANSWERS, openapi_document, written_answers
from tests.repository import REPOSITORY
from tests.running_service import drawn_picture, running_process
from tests.tiny import tiny_bundle

PACKAGES = ("clairo_client", "clairo_core", "service", "training")
"""Of the wheel."""


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
    document = httpx2.get(f"{url}/openapi.json").json()
    operation_ids = {
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    }
    for kind in (CLAIRO, AsyncCLAIRO):
        methods = {name for name in dir(kind) if not name.startswith("_")} - {"send", "close"}
        assert methods == operation_ids


def test_recommend_post_and_get(client: CLAIRO) -> None:
    answer = client.recommend(["item-1", "item-2"], limit=4)
    assert [item.rank for item in answer.items] == [1, 2, 3, 4]
    timed = client.recommend(
        [{"item_id": "item-2", "timestamp": 2.0}, {"item_id": "item-1", "timestamp": "1970-01-01T00:00:01Z"}], limit=4
    )
    assert [item.item_id for item in timed.items] == [item.item_id for item in answer.items]
    picture = drawn_picture()
    posted = client.create_item("mugs/ä 1", title="Blue mug", picture=picture, attributes={"brand": "Fjord"})
    assert posted.item_id == "mugs/ä 1"
    assert client.get_item("mugs/ä 1").attributes == {"brand": "Fjord"}
    assert client.get_item_picture("mugs/ä 1") == picture
    assert client.list_items(limit=1).items[0].item_id == "mugs/ä 1"


def test_lists_by_behaviour(client: CLAIRO) -> None:
    client.add_feedback([{"user_id": "list-reader", "item_id": "item-7", "type": "view"}])
    mugs = {"attribute": "category", "equals": "mug"}
    popular = client.list_popular_items(window="24h", limit=2, filter=mugs)
    assert (popular.window, len(popular.items)) == ("24h", 2)
    assert client.list_trending_items(filter={"attribute": "none", "equals": 1}).items == []
    assert client.list_latest_items(window="1h", limit=1).window == "1h"
    assert client.list_items_bought_together("item-1", limit=3).items[0].source == "content"
    assert client.list_complements(["item-1", "gone"], filter=mugs).ignored_item_ids == ["gone"]
    assert client.list_items_to_buy_again("ann/b").user_id == "ann/b"


def test_health_info_metrics_and_bundles(client: CLAIRO) -> None:
    assert client.check_live().status == "live"
    assert client.check_ready().status == "ready"
    served = client.get_info()
    assert "clairo_bundle_info" in client.get_metrics()
    (bundle,) = client.list_bundles().bundles
    assert (bundle.bundle_id, bundle.is_serving) == (served.bundle_id, True)
    assert client.get_bundle(served.bundle_id).metrics == served.metrics
    assert all(job.num_done <= job.num_rows for job in client.list_jobs().jobs)
    assert client.activate_bundle(served.bundle_id).bundle_id == served.bundle_id
    with pytest.raises(ConflictError, match="Cannot roll back"):
        client.roll_back_bundle()


def test_recommend_sends_every_field_of_the_request(client: CLAIRO) -> None:
    kind = client.get_item("item-1").attributes["category"]
    answer = client.recommend(
        ["item-1", "item-2"],
        user_id="u-new",
        limit=3,
        filter={"attribute": "category", "equals": kind},
        exclude_item_ids=["item-3"],
        include_seen=True,
        diversity=0.5,
        explain=True,
        seed=7,
        quality="best",
    )
    assert answer.seed == 7
    assert answer.items
    for item in answer.items:
        assert item.explanation is not None
        assert item.item_id != "item-3"
        assert client.get_item(item.item_id).attributes["category"] == kind
    with pytest.raises(RefusedError, match="expected a history"):
        client.recommend()


def test_recommend_sends_candidates_rules_and_pages(client: CLAIRO) -> None:
    mugs = {"attribute": "category", "equals": "mug"}
    answer = client.recommend(
        ["item-1"],
        candidates=["item-2", "item-3", "item-4"],
        limit=2,
        fields=["title"],
        boost=[{"name": "mugs", "filter": mugs, "factor": 2}],
        bury=[{"filter": mugs, "factor": 2}],
        pin=[{"item_id": "item-4", "rank": 1}],
    )
    assert (answer.items[0].item_id, answer.items[0].rules[-1]) == ("item-4", "pin-1")
    assert answer.items[0].title
    assert answer.next_cursor is not None
    first = client.recommend(["item-1"], limit=2, group={"attribute": "category", "limit": 1})
    second = client.recommend(
        ["item-1"], limit=2, group={"attribute": "category", "limit": 1}, cursor=first.next_cursor
    )
    assert [item.rank for item in second.items] == [3, 4]


def test_a_placement_is_put_read_tried_and_deleted(client: CLAIRO) -> None:
    rules = PlacementRules(
        filter={"attribute": "category", "exists": True},
        pin=[{"item_id": "item-4", "rank": 1}],
        limit=3,
        strangers="popular",
    )
    saved = client.put_placement("cart", **rules)
    assert (saved.version, saved.rules) == (1, rules)
    assert client.get_placement("cart", version=1) == saved
    assert [placement.name for placement in client.list_placements().placements] == ["cart"]
    assert client.recommend(["item-1"], placement="cart").items[0].rules == ["cart.pin-1"]
    tried = client.preview_placement("cart", {"limit": 1}, {"history": ["item-1"]})
    assert (len(tried.before.items), len(tried.after.items)) == (3, 1)
    client.delete_placement("cart")
    with pytest.raises(NotFoundError, match="placement cart is not saved"):
        client.get_placement("cart")


def test_recommend_batch_returns_an_answer_or_a_problem_per_request(client: CLAIRO) -> None:
    entry = HistoryEntry(item_id="item-1", timestamp=1.0)
    wanted, wrong = RecommendRequest(history=[entry], limit=2, seed=3), RecommendRequest(history=[], limit=0)
    first, second = client.recommend_batch([wanted, wrong]).results
    assert first.recommendation is not None
    assert first.recommendation.items == client.recommend([entry], limit=2, seed=3).items
    assert second.problem is not None
    assert second.problem.status == 422


def test_similar_items_pass_the_filter(client: CLAIRO) -> None:
    kind = client.get_item("item-1").attributes["category"]
    similar = client.list_similar_items("item-1", limit=3, filter={"attribute": "category", "equals": kind})
    assert [found.rank for found in similar.items] == [1, 2, 3]
    assert {found.item.attributes["category"] for found in similar.items} == {kind}


def test_an_item_is_put_changed_retired_and_restored(client: CLAIRO) -> None:
    assert client.put_item("mugs/put", title="Green mug", picture=drawn_picture(3)).outcome == "created"
    changed = client.put_item("mugs/put", title="Green mug", texts={"glaze": "matt"}, attributes={"brand": "Fjord"})
    assert (changed.outcome, changed.texts["glaze"], changed.missing_modalities) == ("changed", "matt", [])
    client.retire_item("mugs/put")
    assert client.get_item("mugs/put").is_retired
    brought_back = client.put_item(
        "mugs/put", title="Green mug", texts={"glaze": "matt"}, attributes=changed.attributes
    )
    assert brought_back.outcome == "restored"


def test_fields_of_items_are_patched_and_types_declared(client: CLAIRO) -> None:
    client.put_item("mugs/patched", title="Mug", attributes={"stock": "3", "brand": "Fjord"})
    assert client.put_schema({"stock": "number"}).num_converted_items == 1
    assert client.get_schema().attributes["stock"].is_declared
    changed = client.patch_item("mugs/patched", picture=drawn_picture(5), attributes={"stock": 2, "brand": None})
    assert (changed.attributes, changed.missing_modalities) == ({"stock": 2}, [])
    assert client.get_item_picture("mugs/patched") == drawn_picture(5)
    answer = client.patch_items([{"item_id": "mugs/patched", "attributes": {"stock": 1}}, {"item_id": "item-1"}])
    assert [item.outcome for item in answer.items] == ["changed", "unchanged"]
    job = client.patch_item_lines([{"item_id": "mugs/patched", "attributes": {"stock": 0}}])
    give_up_at = time.monotonic() + 60
    while client.get_job(job.job_id).state != "done":
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    assert client.get_item("mugs/patched").attributes == {"stock": 0}


def test_create_items_starts_a_job_that_lists_rejected_rows(client: CLAIRO) -> None:
    items = [
        NewItem(item_id="many-1", title="First", picture=drawn_picture(4)),
        NewItem(item_id="many-2", title="Zwölf\nTassen", attributes={"brand": "Fjord"}),
        *(NewItem(item_id=f"empty-{number}") for number in range(3)),
    ]
    submitted = client.create_items(items, idempotency_key="many")
    assert client.create_items(items, idempotency_key="many").job_id == submitted.job_id
    give_up_at = time.monotonic() + 60
    while (job := client.get_job(submitted.job_id, limit=2)).state != "done":
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    assert (job.num_rows, job.num_accepted, job.num_rejected) == (5, 2, 3)
    rest = client.get_job(submitted.job_id, cursor=job.next_cursor)
    assert [row.line for row in (*job.rejected, *rest.rejected)] == [3, 4, 5]
    assert client.get_item_picture("many-1") == drawn_picture(4)
    assert client.get_item("many-2").title == "Zwölf\nTassen"


def test_feedback_is_a_users_history_until_the_user_is_forgotten(client: CLAIRO) -> None:
    events = [
        FeedbackEvent(event_id=f"e-{number}", user_id="u/ä", item_id=f"item-{number}", type="click", timestamp=number)
        for number in (1, 2)
    ]
    added = client.add_feedback(events, idempotency_key="clicks")
    assert client.add_feedback(events, idempotency_key="clicks") == added
    assert (added.num_accepted, client.add_feedback(events).num_duplicates) == (2, 2)
    first = client.get_user("u/ä", limit=1)
    second = client.get_user("u/ä", cursor=first.next_cursor)
    assert [event.item_id for event in (*first.events, *second.events)] == ["item-1", "item-2"]
    of_user = client.recommend(user_id="u/ä", limit=2, seed=1).items
    assert of_user == client.recommend(["item-1", "item-2"], limit=2, seed=1).items
    rows: list[FeedbackEvent] = [
        {"user_id": "u/ä", "item_id": "item-3", "type": "view", "timestamp": 1.7e9, "value": 4.5},
        {"user_id": "u/b", "item_id": "item-3", "type": "view"},
    ]
    job = client.add_feedback_lines(rows)
    while client.get_job(job.job_id).state != "done":
        time.sleep(0.02)
    assert client.get_user("u/ä").events[-1].value == 4.5
    assert {"u/ä", "u/b"} <= {user.user_id for user in client.list_users().users}
    client.forget_user("u/ä")
    assert client.get_user("u/ä").events == []


def test_a_session_becomes_a_user_and_an_event_is_removed(client: CLAIRO) -> None:
    client.add_feedback([FeedbackEvent(event_id="s/1", session_id="s-1", item_id="item-4", type="click")])
    of_session = client.recommend(session_id="s-1", limit=2, seed=1).items
    assert of_session == client.recommend(["item-4"], limit=2, seed=1).items
    assert client.merge_session("u/c", "s-1").num_merged == 1
    assert [event.event_id for event in client.get_user("u/c").events] == ["s/1"]
    with pytest.raises(ConflictError, match="another user's"):
        client.merge_session("u/d", "s-1")
    client.remove_event("s/1")
    assert client.get_user("u/c").events == []
    with pytest.raises(NotFoundError, match="no event has the id 's/2'"):
        client.remove_event("s/2")


def test_an_item_with_an_idempotency_key_is_added_once(client: CLAIRO) -> None:
    first = client.create_item("mugs/once", title="Mug", idempotency_key="mug")
    assert client.create_item("mugs/once", title="Mug", idempotency_key="mug") == first


def test_no_experiment_runs_where_none_was_set_up(client: CLAIRO) -> None:
    assert client.list_experiments().experiments == []


def test_problems_become_exceptions_with_the_services_text(client: CLAIRO) -> None:
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
        submitted = await client.create_items([NewItem(item_id="async-1", title="Mug")])
        assert (await client.get_job(submitted.job_id)).num_rows == 1
        await client.forget_user("u-nobody")


class BusyService:
    """Refuses a given number of times, then answers; records the times of requests."""

    def __init__(self, refusals: int, status: int = 429, retry_after: str | None = "1") -> None:
        self.refusals = refusals
        self.status = status
        self.retry_after = retry_after
        self.asked_at: list[float] = []
        self.headers = httpx2.Headers()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked_at.append(time.monotonic())
        self.headers = request.headers
        if len(self.asked_at) <= self.refusals:
            headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
            return httpx2.Response(self.status, headers=headers, text="busy")
        return httpx2.Response(200, json={"status": "live"})


def test_a_busy_service_is_retried_after_retry_after() -> None:
    service = BusyService(refusals=1)
    with CLAIRO("http://service", api_key="key-1", transport=httpx2.MockTransport(service)) as client:
        assert client.check_live().status == "live"
    assert service.asked_at[1] - service.asked_at[0] >= 1.0
    assert service.headers["Authorization"] == "Bearer key-1"


def test_a_service_that_stays_busy_or_down_is_an_exception_after_all_attempts() -> None:
    for status, error_class in ((429, OverloadedError), (503, UnavailableError)):
        service = BusyService(refusals=99, status=status, retry_after=None)
        transport = httpx2.MockTransport(service)
        with CLAIRO("http://service", max_attempts=2, transport=transport) as client, pytest.raises(error_class):
            client.check_live()
        assert len(service.asked_at) == 2


def test_an_error_without_a_problem_document_is_an_exception_too() -> None:
    def break_down(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(502, text="<html>Bad gateway</html>")

    transport = httpx2.MockTransport(break_down)
    expected = pytest.raises(ProblemError, match="502 Bad Gateway: <html>")
    with CLAIRO("http://service", transport=transport) as client, expected as error:
        client.check_live()
    assert error.value.kind == "about:blank"


def test_of_transport_errors_only_failures_to_connect_are_retried() -> None:
    failures: list[type[httpx2.TransportError]] = []

    def fail_with(error_class: type[httpx2.TransportError]) -> httpx2.MockTransport:
        def fail(_: httpx2.Request) -> httpx2.Response:
            failures.append(error_class)
            raise error_class("broken")

        return httpx2.MockTransport(fail)

    for error_class in (httpx2.ConnectError, httpx2.ReadError):
        client = CLAIRO("http://service", max_attempts=2, transport=fail_with(error_class))
        with client, pytest.raises(error_class):
            client.create_item("mug", title="mug")
    assert failures == [httpx2.ConnectError, httpx2.ConnectError, httpx2.ReadError]


async def test_the_async_client_waits_too() -> None:
    service = BusyService(refusals=1, status=503, retry_after=None)
    async with AsyncCLAIRO("http://service", transport=httpx2.MockTransport(service)) as client:
        assert (await client.check_live()).status == "live"
    assert len(service.asked_at) == 2


def test_the_client_imports_nothing_else_of_this_repository_and_no_heavy_library() -> None:
    program = "import sys, clairo_client; print(*{name.split('.')[0] for name in sys.modules})"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    imported = set(ended.stdout.split())
    assert {"clairo_client", "httpx2", "pydantic"} <= imported
    assert not imported & {"clairo_core", "service", "training", "torch", "faiss", "numpy", "fastapi", "redis", "httpx"}


def test_the_client_and_all_that_it_needs_take_less_than_30_megabytes() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == []
    wanted, needed = [Requirement(line) for line in project["optional-dependencies"]["client"]], set[str]()
    while wanted:
        requirement = wanted.pop()
        if requirement.name not in needed and (requirement.marker is None or requirement.marker.evaluate()):
            needed.add(requirement.name)
            wanted += [Requirement(line) for line in metadata.requires(requirement.name) or ()]
    assert {"httpx2", "pydantic-core"} <= needed
    files = [Path(str(file.locate())) for name in needed for file in metadata.files(name) or ()]
    code = [file for name in PACKAGES for file in (REPOSITORY / name).rglob("*") if file.suffix != ".pyc"]
    num_bytes = sum(file.stat().st_size for file in (*files, *code) if file.is_file())
    print(f"{num_bytes / 1e6:.1f} MB")
    assert num_bytes < 30e6


def test_the_answers_are_written_from_the_openapi_document() -> None:
    expected = written_answers(openapi_document())
    assert ANSWERS.read_text(encoding="utf-8") == expected, "run `make client` and commit what it writes"


def test_arguments_have_the_names_of_the_api(url: str) -> None:
    document = httpx2.get(f"{url}/openapi.json").json()
    schemas = document["components"]["schemas"]
    checked = set()
    for operations in document["paths"].values():
        for operation in operations.values():
            names = {parameter["name"].lower().replace("-", "_") for parameter in operation.get("parameters", [])}
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            body = schemas[body["$ref"].rsplit("/", 1)[1]] if "$ref" in body else body
            names |= set(body.get("properties", {}))
            arguments = set(inspect.signature(getattr(calls, operation["operationId"])).parameters)
            lines = {"items", "events"} if "application/x-ndjson" in str(operation.get("requestBody")) else set()
            assert arguments - lines == names - {"x_request_id"}, operation["operationId"]
            checked.add(operation["operationId"])
    assert len(checked) >= 24
