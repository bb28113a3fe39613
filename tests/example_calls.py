"""Turn the OpenAPI document into calls that run in order: the first example of every operation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("post", "get", "put", "patch", "delete")
JSON, ANY_BYTES = "application/json", "application/octet-stream"
FIRST = ("create_item", "put_placement")
REFUSED = {"roll_back_bundle": 409, "start_experiment": 404, "end_experiment": 404}
"""Calls that a new service answers with an error: no bundle was served before, and there is no second one."""


@dataclass(frozen=True)
class ExampleCall:
    """A call as the document shows it."""

    operation_id: str
    tag: str
    method: str
    path: str
    path_parameters: dict[str, Any]
    query: dict[str, Any]
    media_type: str | None
    """None without a body."""
    body: Any
    """Lines as text, anything else as JSON."""
    expected_status: int
    has_json_answer: bool


def example_calls(document: Mapping[str, Any], known: Mapping[str, str]) -> list[ExampleCall]:
    """One call per operation: the item and the placement that the others name come first, deletions last.

    `known` has values of parameters that no example can know.
    """
    calls = [
        example_call(method, path, operation, known)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return sorted(calls, key=lambda call: (call.operation_id not in FIRST, METHODS.index(call.method)))


def example_call(method: str, path: str, operation: Mapping[str, Any], known: Mapping[str, str]) -> ExampleCall:
    """The call of one operation."""
    values: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        if name in known or "examples" in parameter:
            values[parameter["in"]][name] = known.get(name) or next(iter(parameter["examples"].values()))["value"]
    content = operation.get("requestBody", {}).get("content", {})
    media_type = next((name for name in (JSON, ANY_BYTES) if name in content), None)
    status, answer = next((int(code), answer) for code, answer in operation["responses"].items() if code[0] == "2")
    return ExampleCall(
        operation_id=operation["operationId"],
        tag=operation["tags"][0],
        method=method,
        path=path,
        path_parameters=values["path"],
        query=values["query"],
        media_type=media_type,
        body=next(iter(content[media_type]["examples"].values()))["value"] if media_type else None,
        expected_status=REFUSED.get(operation["operationId"], status),
        has_json_answer=JSON in answer.get("content", {}),
    )
