"""Complete the framework's OpenAPI document: errors as problem+json, bodies, and bounds as JSON Schema names them."""

import json
from typing import Any

from fastapi import FastAPI

from service.http.problems import MEDIA_TYPE
from service.http.request_context import REQUEST_ID_HEADER
from service.keys.authentication import describe_keys
from service.schemas.problems import Problem

MEANINGS = {
    400: "Malformed URL, body or request.",
    401: "API key missing or invalid.",
    403: "The API key lacks the required scope, or Host or Origin is not allowed.",
    404: "Not found.",
    409: "Conflict with the current state.",
    413: "Body, picture or text too large.",
    415: "Unsupported content type or encoding, or unreadable picture.",
    422: "Invalid fields.",
    429: "Too many requests; Retry-After gives the seconds to wait.",
    503: "Service not ready, or store unavailable.",
    504: "No answer within the deadline.",
}

REQUEST_ID_PARAMETER = {
    "name": REQUEST_ID_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Your own id of the request, logged and echoed in the answer: up to 128 letters, digits, `.`, `_`, "
    "`:` and `-`. Anything else is replaced.",
}
JSON_SCHEMA_BOUNDS = {"ge": "minimum", "le": "maximum"}
GZIP_DESCRIPTION = "May be compressed, with `Content-Encoding: gzip`; limits hold after unpacking."


def problem_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` of a call that can end in these statuses."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {"description": MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }


def describe_problems(app: FastAPI) -> None:
    """Complete `app.openapi()`: problems, bodies, bounds, keys, request ids."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            # Built once: it takes long enough to delay other requests.
            return app.openapi_schema
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if Problem.__name__ not in schemas:
            definition = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(definition.pop("$defs", {}))
            schemas[Problem.__name__] = definition
        _forget_framework_errors(document)
        _name_bounds(document)
        _describe_every_call(document)
        _describe_bodies(document)
        _forget_unused(document)
        describe_keys(document, problem_answers)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _describe_bodies(document: dict[str, Any]) -> None:
    """Add what holds for every body: the answers to an unreadable one, and gzip. See `service.http.body_route`."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if body := operation.get("requestBody"):
                body["description"] = f"{body.get('description', '')} {GZIP_DESCRIPTION}".strip()
                for status, answer in problem_answers(415).items():
                    operation["responses"].setdefault(str(status), answer)


def _describe_every_call(document: dict[str, Any]) -> None:
    """Add the header that every call takes, and what a malformed url or a large body gets.

    See `service.http.request_context`. A Content-Length that is too large is refused also where no body is read.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.setdefault("parameters", []).append(REQUEST_ID_PARAMETER)
            for status, answer in problem_answers(400, 413).items():
                operation["responses"].setdefault(str(status), answer)


def _name_bounds(document: dict[str, Any]) -> None:
    """Rename `ge` and `le`, as Pydantic writes bounds behind a validator of ours, to `minimum` and `maximum`."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                for schema in (parameter["schema"], *parameter["schema"].get("anyOf", [])):
                    for name in JSON_SCHEMA_BOUNDS.keys() & schema.keys():
                        schema[JSON_SCHEMA_BOUNDS[name]] = schema.pop(name)


def _forget_framework_errors(document: dict[str, Any]) -> None:
    """Remove the 422 that the framework declares, in another shape, for calls that do not declare one themselves."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {MEDIA_TYPE: {}}):
                del operation["responses"]["422"]


def _forget_unused(document: dict[str, Any]) -> None:
    """Remove schemas that nothing refers to, such as the framework's of an answer that is written as plain JSON."""
    schemas = document["components"]["schemas"]
    while unused := [name for name in schemas if f'"#/components/schemas/{name}"' not in json.dumps(document)]:
        for name in unused:
            del schemas[name]
