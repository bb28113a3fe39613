"""The OpenAPI document: complete, and its examples run."""

import json
from typing import Any

import httpx
import pytest

from tests.client_answers import openapi_document

METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Made once: it takes a second."""
    return openapi_document()


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


async def test_the_document_is_served(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    assert (await client.get("/openapi.json")).json() == document


def test_the_document_lists_exactly_the_promised_calls(document: dict[str, Any]) -> None:
    assert set(operations(document)) == {
        ("post", "/recommend"),
        ("post", "/recommend/batch"),
        ("get", "/items/{item_id}/similar"),
        ("get", "/placements"),
        ("get", "/placements/{name}"),
        ("put", "/placements/{name}"),
        ("delete", "/placements/{name}"),
        ("post", "/placements/{name}/preview"),
        ("get", "/items/{item_id}/bought-together"),
        ("post", "/complements"),
        ("get", "/popular"),
        ("get", "/trending"),
        ("get", "/latest"),
        ("get", "/users/{user_id}/buy-again"),
        ("get", "/experiments"),
        ("post", "/experiments"),
        ("delete", "/experiments/{name}"),
        ("post", "/items"),
        ("get", "/items"),
        ("get", "/items/{item_id}"),
        ("get", "/items/{item_id}/picture"),
        ("put", "/items/{item_id}"),
        ("delete", "/items/{item_id}"),
        ("patch", "/items/{item_id}"),
        ("patch", "/items"),
        ("post", "/items/bulk"),
        ("patch", "/items/bulk"),
        ("get", "/schema"),
        ("put", "/schema"),
        ("get", "/jobs"),
        ("get", "/jobs/{job_id}"),
        ("post", "/feedback"),
        ("post", "/feedback/bulk"),
        ("delete", "/feedback/{event_id}"),
        ("get", "/users"),
        ("post", "/users/{user_id}/merge"),
        ("get", "/users/{user_id}"),
        ("delete", "/users/{user_id}"),
        ("get", "/health/live"),
        ("get", "/health/ready"),
        ("get", "/info"),
        ("get", "/metrics"),
        ("get", "/bundles"),
        ("get", "/bundles/{bundle_id}"),
        ("post", "/bundles/{bundle_id}/activate"),
        ("post", "/bundles/rollback"),
    }


def test_every_call_has_an_id_and_a_description(document: dict[str, Any]) -> None:
    found = operations(document)
    for key, operation in found.items():
        assert operation["operationId"], key
        assert operation["summary"], key
        assert len(operation["description"]) > 20, key
    assert len({operation["operationId"] for operation in found.values()}) == len(found)


def test_every_error_is_declared_as_a_problem(document: dict[str, Any]) -> None:
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in str(document)
    for key, operation in operations(document).items():
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert errors, key
        for status, answer in errors.items():
            assert list(answer["content"]) == ["application/problem+json"], (key, status)


async def test_calls_without_a_key_refuse_a_body_that_is_too_large(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    found = operations(document)
    for path in ("/health/live", "/health/ready", "/info", "/metrics"):
        refused = await client.get(path, headers={"Content-Length": str(2**21)})
        assert refused.status_code == 413, path
        assert "413" in found["get", path]["responses"]


async def test_put_says_that_it_removes_absent_fields_but_a_picture(client: httpx.AsyncClient) -> None:
    await client.get("/openapi.json")
    body = operations((await client.get("/openapi.json")).json())["put", "/items/{item_id}"]["requestBody"]
    assert body["description"].startswith(
        "The whole item: a field that is absent is removed. An absent picture stays; null removes it."
    )
    assert body["description"].count("gzip") == 1


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*(references(value) for value in part.values()))
        return set().union(*(references(value) for value in part)) if isinstance(part, list) else set()

    for reference in references(document):
        part: Any = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


def example_bodies(operation: dict[str, Any]) -> list[tuple[str, Any]]:
    """Content types and bodies; forms have none, since examples cannot show a file."""
    content = operation.get("requestBody", {}).get("content", {})
    return [
        (media_type, example["value"])
        for media_type, media in content.items()
        for example in media.get("examples", {}).values()
    ]


async def test_every_example_runs(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    found = operations(document)
    job_url = ""
    # These create the item and the placement that the other examples name; deletions come last.
    first = (("post", "/items"), ("put", "/placements/{name}"))
    order = ["post", "get", "put", "patch", "delete"]
    for (method, path), operation in sorted(
        found.items(), key=lambda entry: (entry[0] not in first, order.index(entry[0][0]))
    ):
        parameters = {
            parameter["name"]: next(iter(parameter["examples"].values()))["value"]
            for parameter in operation.get("parameters", [])
            if "examples" in parameter
        }
        if path.startswith("/bundles/{bundle_id}"):
            # Examples cannot know a bundle's id. Activating the served one changes nothing.
            parameters["bundle_id"] = (await client.get("/info")).json()["bundle_id"]
        if path == "/jobs/{job_id}":
            # Examples cannot know the id of a job.
            parameters["job_id"] = job_url.removeprefix("/jobs/")
        if path == "/bundles/rollback":
            # The first bundle has none before it.
            assert (await client.post(path)).status_code == 409
            continue
        if path == "/experiments/{name}" or (method, path) == ("post", "/experiments"):
            # There is no second bundle.
            assert example_bodies(operation) or method == "delete"
            continue
        for parameter in operation.get("parameters", []):
            assert parameter["name"] in parameters or not parameter["required"], (path, parameter["name"])
        url = path.format(**parameters)
        query = {name: value for name, value in parameters.items() if f"{{{name}}}" not in path}
        bodies = example_bodies(operation)
        assert bodies or "requestBody" not in operation, path
        for media_type, body in bodies or [("", None)]:
            content = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
            headers = {"Content-Type": media_type} if media_type else {}
            answer = await client.request(method, url, params=query, content=content, headers=headers)
            assert answer.is_success, (method, url, answer.text)
            if path == "/items/bulk":
                job_url = answer.headers["location"]
