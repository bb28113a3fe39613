"""JSON of /schema: the types of attributes."""

from typing import Literal

from pydantic import BaseModel, Field

from service.schemas.request_body import FieldName, RequestBody

MAX_DECLARED = 1000

TypeName = Literal["text", "number", "boolean", "date", "list", "path"]


class DeclaredType(RequestBody):
    """The type of an attribute."""

    type: TypeName


class PutSchemaBody(RequestBody):
    """All declared attributes, by name."""

    attributes: dict[FieldName, DeclaredType] = Field(max_length=MAX_DECLARED)


class KnownType(BaseModel):
    """The type of an attribute, and where it comes from."""

    type: TypeName
    is_declared: bool = Field(description="By PUT /schema; otherwise by the first use of the name.")


class SchemaAnswer(BaseModel):
    """All known types, by name."""

    attributes: dict[str, KnownType]


class PutSchemaAnswer(SchemaAnswer):
    """All known types, and what declaring them changed."""

    num_converted_items: int = Field(description="Stored items with values that were read as their new type.")
