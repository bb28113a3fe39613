"""JSON of an error: an RFC 9457 problem document."""

from pydantic import BaseModel


class FieldError(BaseModel):
    """An invalid field."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldError] | None = None
