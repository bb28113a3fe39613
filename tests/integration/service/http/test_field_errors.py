"""Every 422 names its fields in our words: requests with a wrong part, drawn from the OpenAPI document."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core._pydantic_core import list_all_errors

from clairo_core.bundle.load_bundle import load_bundle
from service.http.field_errors import EXPECTED, OTHER, kind_of_value, readable_errors
from tests.client_answers import openapi_document
from tests.running_service import running_service
from tests.tiny import tiny_bundle

DOCUMENT = openapi_document()
NUM_REQUESTS = 200
LONG = "x" * 30_000
WRONG_VALUES = [None, True, 0, -1, 2.5, 1e400, 10**30, "", "x", "10.0", LONG, "\0", "\ud800", [], [None], [{}] * 1001]
WRONG_VALUES += [{}, {"x": 1}, {"item_id": "a", "timestamp": "today"}, {"not": {"not": 1}}, {"range": {"gte": "x"}}]
WRONG_TEXTS = [
    "",
    "x",
    "0",
    "-1",
    "1.0",
    "1" * 30,
    "true",
    "\0",
    "{",
    '{"x": 1}',
    '{"attribute": 3}',
    "[]",
    LONG[:3000],
]


def pattern_of(template: str) -> re.Pattern[str]:
    """A message with its `{...}` filled in."""
    parts = re.split(r"\{[^}]*\}", template)
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


PYDANTICS = [
    pattern_of(error["message_template_python"]) for error in list_all_errors() if error["type"] != "value_error"
]
OURS = [pattern_of(sentence) for sentence in (*EXPECTED.values(), OTHER)]


def is_pydantics(sentence: str) -> bool:
    return any(pattern.fullmatch(sentence) for pattern in PYDANTICS)


def calls_with_an_input() -> Iterator[tuple[str, str, dict[str, Any], list[str]]]:
    """Method, path, an example body of JSON, and names of query parameters."""
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            examples = [example["value"] for example in media.get("examples", {}).values()]
            query = [part["name"] for part in operation.get("parameters", []) if part["in"] == "query"]
            for body in examples or ([{}] if query or "{" in path else []):
                yield method.upper(), path, body, query


CALLS = list(calls_with_an_input())


def places_in(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths to all parts of a JSON value, itself included."""
    yield place
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places_in(value[key], (*place, key))


def replaced(value: Any, place: tuple[str | int, ...], new: Any) -> Any:
    """`value` with another part at a place."""
    if not place:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[place[0]] = new if len(place) == 1 else replaced(value[place[0]], place[1:], new)
    return changed


@st.composite
def wrong_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request of the document with a wrong part: in its body, query or path."""
    method, path, body, query = draw(st.sampled_from(CALLS))
    wrong = draw(st.sampled_from(WRONG_VALUES) | st.text(max_size=5) | st.floats() | st.integers())
    place = draw(st.sampled_from(list(places_in(body))))
    is_named = place and isinstance(place[-1], str)
    new_name = (*place[:-1], draw(st.sampled_from(["colour", "attribute", "filter", "cursor", "texts"])))
    changed = replaced(body, place if not is_named or draw(st.booleans()) else new_name, wrong) if body else body
    segment = draw(st.sampled_from(["mug", "%00", "x" * 300, "a%2F%2Fb", "picture", "%ED%A0%80"]))
    return {
        "method": method,
        "url": re.sub(r"\{[^}]*\}", segment, path),
        "params": {name: draw(st.sampled_from(WRONG_TEXTS)) for name in query},
        "content": json.dumps(changed, ensure_ascii=True).encode() if body else None,
        "headers": {"Content-Type": "application/json"} if body else {},
    }


@pytest.fixture
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    bundle = load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny"))
    async with running_service(bundle) as client:
        yield client


async def test_no_sentence_of_pydantic_reaches_a_client(client: httpx.AsyncClient) -> None:
    drawn: list[dict[str, Any]] = []

    @settings(max_examples=NUM_REQUESTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(wrong_requests())
    def draw_all(request: dict[str, Any]) -> None:
        drawn.append(request)

    draw_all()
    sentences: set[str] = set()
    for request in drawn:
        answer = await client.request(**request)
        assert answer.status_code < 500, (request, answer.text)
        if answer.status_code == 422:
            problem = answer.json()
            for error in problem.get("errors", []):
                sentences.add(error["msg"])
                assert not is_pydantics(error["msg"]), (request, error)
            # Names that Pydantic gives to the types of a union.
            assert not re.search(r"constrained-|function-|\[key\]|HistoryEntry", answer.text), request
    assert len(sentences) > 10


def test_every_type_of_error_has_a_sentence_of_ours() -> None:
    for error in list_all_errors():
        sent = {
            "type": error["type"],
            "loc": ("body", "limit"),
            "input": "x",
            "ctx": error.get("example_context") or {},
        }
        if error["type"] != "value_error":
            (readable,) = readable_errors([sent], {"body": {"limit": "x"}})
            assert any(pattern.fullmatch(readable["msg"]) for pattern in OURS), error
            assert not is_pydantics(readable["msg"])


async def test_a_value_of_no_type_of_a_union_has_one_error_in_its_place(client: httpx.AsyncClient) -> None:
    history = [
        5,
        {"item_id": 5},
        {"item_id": "a", "timestamp": "noon"},
        {"item_id": "a", "timestamp": "2024-05-31T17:00"},
    ]
    condition = {"attribute": "brand", "equals": []}
    answer = await client.post("/recommend", json={"history": history, "filter": condition})
    errors = {tuple(error["loc"]): error["msg"] for error in answer.json()["errors"]}
    assert len(errors) == len(answer.json()["errors"]) == 5
    assert errors["body", "history", 0] == "got 5, expected text or an object"
    assert errors["body", "history", 1, "item_id"] == "got 5, expected text"
    assert errors["body", "history", 2, "timestamp"] == "expected a date and time such as 2024-05-31T17:00:00Z"
    assert errors["body", "history", 3, "timestamp"].startswith("expected a zone after the time, such as Z for UTC")
    assert errors["body", "filter", "equals"] == "expected text, a number, true or false"


def test_a_sentence_says_what_was_sent_and_what_was_expected() -> None:
    limit = {"type": "less_than_equal", "loc": ("body", "limit"), "input": 500, "ctx": {"le": 100}}
    title = {"type": "string_too_long", "loc": ("body", "title"), "input": "x" * 30, "ctx": {"max_length": 20}}
    sent = {"body": {"limit": 500, "title": title["input"]}, "query": {"limit": "500"}}
    assert [error["msg"] for error in readable_errors([limit, title], sent)] == [
        "got 500, expected at most 100",
        "got 30 characters, expected at most 20",
    ]
    in_url = limit | {"loc": ("query", "limit"), "input": "500"}
    assert readable_errors([in_url], sent)[0]["msg"] == "got 500, expected at most 100"
    assert kind_of_value(10**30) == f"1{'0' * 24}..."


@pytest.mark.parametrize(
    ("path", "label"),
    [("/users/%00", "user_id"), ("/users/" + "x" * 300, "user_id"), ("/items/a%2F%2Fb", "item_id")],
)
async def test_an_id_in_a_path_is_refused_by_the_name_of_its_field(
    client: httpx.AsyncClient, path: str, label: str
) -> None:
    method = "PUT" if label == "item_id" else "GET"
    answer = await client.request(method, path, json={"title": "Mug"} if method == "PUT" else None)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["path", label]
    assert label in answer.json()["detail"]
