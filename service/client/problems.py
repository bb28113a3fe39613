"""Problem documents (RFC 9457) as exceptions.

ProblemError
├── NotFoundError       404
├── ConflictError       409: it exists already, or the bundle is damaged or worse
├── RefusedError        400, 401, 403, 413, 415, 422: what was sent is wrong
├── OverloadedError     429, after all attempts
└── UnavailableError    503 and 504, after all attempts
"""

import httpx
from pydantic import BaseModel, ValidationError

from service.schemas.problems import FieldError


class ProblemError(Exception):
    """The service answered with a problem document, or with an error that is none."""

    def __init__(
        self, status: int, kind: str, title: str, detail: str, request_id: str | None, errors: list[FieldError]
    ) -> None:
        super().__init__(f"{status} {title}: {detail}" + (f" (request {request_id})" if request_id else ""))
        self.status = status
        self.kind = kind
        """`unknown-item`, say; `about:blank` where the status says it all."""
        self.title = title
        self.detail = detail
        self.request_id = request_id
        """What to look for in the service's log."""
        self.errors = errors


class NotFoundError(ProblemError):
    """There is no such item, user, job or bundle."""


class ConflictError(ProblemError):
    """It conflicts with what is there."""


class RefusedError(ProblemError):
    """What was sent is wrong: the same again will be refused again."""


class OverloadedError(ProblemError):
    """Too many requests wait already; `Retry-After` was heeded as often as was allowed."""


class UnavailableError(ProblemError):
    """Not ready, or the store cannot be used now, or no answer within the deadline."""


_CLASSES: dict[int, type[ProblemError]] = {
    400: RefusedError,
    401: RefusedError,
    403: RefusedError,
    404: NotFoundError,
    409: ConflictError,
    413: RefusedError,
    415: RefusedError,
    422: RefusedError,
    429: OverloadedError,
    503: UnavailableError,
    504: UnavailableError,
}


class _Document(BaseModel):
    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    request_id: str | None = None
    errors: list[FieldError] = []


def problem_of(answer: httpx.Response) -> ProblemError:
    """The exception that an answer of 400 or more stands for."""
    try:
        document = _Document.model_validate_json(answer.content)
    except ValidationError:
        # A proxy's own page, say.
        document = _Document(title=answer.reason_phrase, detail=answer.text[:500])
    kind = document.type.removeprefix("urn:clairo:problem:")
    return _CLASSES.get(answer.status_code, ProblemError)(
        answer.status_code,
        kind,
        document.title or answer.reason_phrase,
        document.detail,
        document.request_id or answer.headers.get("X-Request-ID"),
        document.errors,
    )
