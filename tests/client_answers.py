"""Turn the OpenAPI document into `clairo_client/answers.py`: one Pydantic model per schema that an answer uses.

Generated, so that the client needs nothing of the service and cannot differ from it. Run as `make client`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.app import create_app
from service.settings import Settings
from tests.repository import REPOSITORY

ANSWERS = REPOSITORY / "clairo_client" / "answers.py"
HEAD = '''"""Answers of the service, as its OpenAPI document describes them. Written by `make client`; do not edit.

Fields of a newer service are ignored.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel
'''
REFERENCE = "#/components/schemas/"
PLAIN_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def openapi_document() -> dict[str, Any]:
    """The document of this tree's service. No bundle is needed."""
    return create_app(Settings(bundle=Path("not-loaded"))).openapi()


def written_answers(document: dict[str, Any]) -> str:
    """The module's source: each model below those that it uses."""
    schemas: dict[str, dict[str, Any]] = document["components"]["schemas"]
    answers = [operation["responses"] for operations in document["paths"].values() for operation in operations.values()]
    ordered: dict[str, None] = {}

    def add(part: Any) -> None:
        for name in references_in(part):
            if name not in ordered:
                add(schemas[name])
                ordered[name] = None

    add(answers)
    return "\n\n".join([HEAD, *(written_model(name, schemas[name]) for name in ordered)])


def references_in(part: Any) -> Iterator[str]:
    """Names of the schemas that a part of the document refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].removeprefix(REFERENCE)
        for inner in part.values():
            yield from references_in(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references_in(inner)


def written_model(name: str, schema: dict[str, Any]) -> str:
    """A class with the schema's fields."""
    required = schema.get("required", [])
    fields = [
        written_field(field, of_field, is_required=field in required)
        for field, of_field in schema["properties"].items()
    ]
    return "\n".join([f"class {name}(BaseModel):", f'    """{schema["description"]}"""', "", *fields]) + "\n"


def written_field(name: str, schema: dict[str, Any], *, is_required: bool) -> str:
    """A line of a class. The framework leaves out a default of null.

    >>> written_field("limit", {"type": "integer", "default": 10}, is_required=False)
    '    limit: int = 10'
    """
    default = "" if is_required else f" = {written_value(schema.get('default'))}"
    return f"    {name}: {written_type(schema)}{default}"


def written_type(schema: dict[str, Any]) -> str:
    """A schema as a type.

    >>> written_type({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]})
    'list[str] | None'
    """
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REFERENCE)
    if "anyOf" in schema:
        return " | ".join(written_type(choice) for choice in schema["anyOf"])
    if choices := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return f"Literal[{', '.join(map(written_value, choices))}]"
    if schema.get("type") in ("array", "object"):
        return written_container(schema)
    return "datetime" if schema.get("format") == "date-time" else PLAIN_TYPES.get(schema.get("type", ""), "Any")


def written_container(schema: dict[str, Any]) -> str:
    """The type of an array or an object.

    >>> written_container({"type": "object", "additionalProperties": {"type": "integer"}})
    'dict[str, int]'
    """
    if "prefixItems" in schema:
        return f"tuple[{', '.join(written_type(item) for item in schema['prefixItems'])}]"
    if schema["type"] == "array":
        return f"list[{written_type(schema['items'])}]"
    values = schema.get("additionalProperties", True)
    return f"dict[str, {'Any' if values is True else written_type(values)}]"


def written_value(value: object) -> str:
    """A value as ruff formats it."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    ANSWERS.write_text(written_answers(openapi_document()), encoding="utf-8")
