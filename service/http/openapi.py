"""Say in the OpenAPI document how errors look: which statuses a call has, each as problem+json.

Knows the document's format; knows nothing of what calls do.
"""

from typing import Any

from fastapi import FastAPI

from service.http.problems import MEDIA_TYPE
from service.keys.authentication import describe_keys
from service.schemas.problems import Problem

MEANINGS = {
    400: "The body or the request cannot be parsed.",
    401: "No API key, or one that is not valid here.",
    403: "The API key has not the scope that the call needs.",
    404: "There is no such thing.",
    409: "It conflicts with what is there.",
    413: "The body, a picture or a text is too large.",
    415: "Not a content type or picture that is read here.",
    422: "Understood, but a field is wrong.",
    429: "Too many requests wait already; Retry-After says when to come back.",
    503: "Not ready, or the store cannot be used now.",
    504: "No answer within the deadline.",
}


def problem_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a call that can end in these statuses."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {"description": MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }


def describe_problems(app: FastAPI) -> None:
    """Add the problem document's schema to what `app.openapi()` gives."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if Problem.__name__ not in schemas:
            definition = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(definition.pop("$defs", {}))
            schemas[Problem.__name__] = definition
        _forget_framework_errors(document)
        describe_keys(document, problem_answers)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _forget_framework_errors(document: dict[str, Any]) -> None:
    """Take out the 422 that the framework declares in a shape of its own wherever a call does not say 422 itself."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            if MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {MEDIA_TYPE: {}}):
                del operation["responses"]["422"]
