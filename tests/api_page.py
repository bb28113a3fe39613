"""Turn the OpenAPI document into docs/api.md: every call with its fields and an example, then every schema."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.example_calls import ANY_BYTES, METHODS, ExampleCall, example_call

SECTIONS = {
    "recommendations": "Recommend",
    "placements": "Placements",
    "items": "Items",
    "users": "Users and feedback",
    "bundles": "Bundles",
    "experiments": "Experiments",
    "health": "Health",
}
HEAD = """\
# API

Every call of the service, its fields and its answer. A running service has the same to try out at `/docs`, and for
programs at `/openapi.json`. The [Python client](client.md) has one method per call, named as in parentheses here.

Bodies are JSON in UTF-8 (`Content-Type: application/json`), lines of JSON for jobs, or a form for a picture; each may
be gzip. Times are ISO 8601 or seconds since 1970. A service with API keys takes one in the header `X-API-Key`.
"""
FOOT = "This page is written from the OpenAPI document by `make pages`.\n"
WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "date-time": "time",
    "binary": "bytes",
}
IGNORED = ("X-Request-ID",)
PROBLEMS = "## Problems\n\nErrors are `application/problem+json` (RFC 9457): [Problem](#problem).\n"


def api_page(document: Mapping[str, Any]) -> str:
    """The page of a document: sections by tag, calls in the document's order."""
    calls: dict[str, list[str]] = {tag: [] for tag in SECTIONS}
    problems: dict[str, str] = {}
    for path, operations in document["paths"].items():
        for method in sorted(operations, key=METHODS.index):
            operation = operations[method]
            calls[operation["tags"][0]].append(_call(method, path, operation))
            problems |= {code: of["description"] for code, of in operation["responses"].items() if code[0] in "45"}
    codes = _table(["status", "means"], sorted(problems.items()))
    schemas = document["components"]["schemas"]
    used = [_schema(name, schema) for name, schema in sorted(schemas.items())]
    sections = [f"## {title}\n\n" + "\n".join(calls[tag]) for tag, title in SECTIONS.items()]
    return "\n".join([HEAD, *sections, PROBLEMS, codes, "## Schemas\n", *used, FOOT])


def _call(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f"### {method.upper()} {path}\n",
        f"**{operation['summary']}** (`{operation['operationId']}`)\n",
        _paragraphs(operation.get("description", "")),
    ]
    parameters = [
        (
            f"`{of['name']}`",
            of["in"],
            _limited(of["schema"]).removesuffix(" or null"),
            "required" if of.get("required") else _default(of["schema"]),
            of.get("description", ""),
        )
        for of in operation.get("parameters", [])
        if of["name"] not in IGNORED
    ]
    if parameters:
        parts.append(_table(["parameter", "in", "type", "default", ""], parameters))
    body = operation.get("requestBody", {}).get("content", {})
    schema = next((of["schema"] for of in body.values() if "$ref" in of.get("schema", {})), None)
    if schema is not None:
        parts.append(f"Body: {_type(schema)}\n")
    if "requestBody" in operation:
        parts.append(_curl(example_call(method, path, operation, {})))
    answers = [
        f"{code} {_type(of['schema'])}" if "$ref" in of.get("schema", {}) else code
        for code, response in operation["responses"].items()
        if code[0] in "23"
        for of in [response.get("content", {}).get("application/json", {})]
    ]
    parts.append(f"Answers: {', '.join(answers)}\n")
    return "\n".join(parts)


def _curl(call: ExampleCall) -> str:
    """The first example as a command."""
    path = call.path
    for name, value in call.path_parameters.items():
        path = path.replace("{" + name + "}", str(value))
    flag = "--data-binary" if call.media_type == ANY_BYTES else "-d"
    body = call.body if isinstance(call.body, str) else json.dumps(call.body, ensure_ascii=False)
    quoted = body.strip("\n").replace("'", "'\\''")
    method = "" if call.method == "post" else f" -X {call.method.upper()}"
    head = f"curl{method} http://127.0.0.1:8000{path} -H 'Content-Type: {call.media_type}'"
    return f"```sh\n{head} \\\n  {flag} '{quoted}'\n```\n"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (f"`{field}`", _limited(of), "required" if field in required else _default(of), of.get("description", ""))
        for field, of in schema.get("properties", {}).items()
    ]
    table = _table(["field", "type", "default", ""], rows) if rows else f"{_limited(schema)}\n"
    return "\n".join([f"### {_name(name)}\n", _paragraphs(schema.get("description", "")), table])


def _name(schema: str) -> str:
    """Pydantic splits a schema whose answer has fields filled in: `FilterBody-Input`."""
    return schema.removesuffix("-Input").replace("-Output", " in answers")


def _type(schema: Mapping[str, Any]) -> str:
    """The type in words, or a link to the schema."""
    kind = next(
        (name for name in ("$ref", "anyOf", "oneOf", "allOf", "enum", "const", "format", "type") if name in schema),
        None,
    )
    value = schema[kind] if kind else None
    match kind:
        case "$ref":
            name = _name(value.rsplit("/", 1)[1])
            words = f"[{name}](#{name.lower().replace(' ', '-')})"
        case "anyOf" | "oneOf":
            words = " or ".join(dict.fromkeys(map(_limited, value)))
        case "allOf":
            words = _type(value[0])
        case "enum":
            words = ", ".join(f"`{choice}`" for choice in value)
        case "const":
            words = f"`{value}`"
        case "type" if value == "array":
            words = f"list of {_limited(schema.get('items', {}))}"
        case _:
            words = WORDS.get(value, str(value or "any"))
    return words


def _limited(schema: Mapping[str, Any]) -> str:
    """The type and its range."""
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is not None and high is not None:
        return f"{_type(schema)}, {low:,g} to {high:,g}" if max(low, high) < 1e6 else _type(schema)
    if "maxItems" in schema:
        return f"{_type(schema)}, at most {schema['maxItems']:,}"
    if schema.get("maxLength"):
        return f"{_type(schema)}, at most {schema['maxLength']:,} characters"
    return _type(schema)


def _default(schema: Mapping[str, Any]) -> str:
    value = schema.get("default")
    return "" if value in (None, "", [], {}) else f"`{json.dumps(value)}`"


def _paragraphs(text: str) -> str:
    """Each paragraph on one line: docstrings are wrapped."""
    return "\n".join(f"{' '.join(part.split())}\n" for part in text.split("\n\n") if part.strip())


def _table(heads: list[str], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [heads, ["---"] * len(heads), *rows]
    return "".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |\n" for row in cells
    )
