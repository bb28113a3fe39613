"""Problem documents (RFC 9457) as exceptions.

ProblemError                other statuses, redirects, and answers of something that is not the service
├── NotFoundError       404
├── ConflictError       409: it exists already, or the bundle is damaged or worse
├── RefusedError        400, 401, 403, 413, 415, 422: the request is wrong
├── OverloadedError     429, after all attempts
└── UnavailableError    503 and 504, after all attempts
"""

import httpx2
from pydantic import BaseModel, ValidationError

from clairo_client.answers import FieldError


class ProblemError(Exception):
    """The service answered with an error, usually a problem document."""

    def __init__(
        self, status: int, kind: str, title: str, detail: str, request_id: str | None, errors: list[FieldError]
    ) -> None:
        super().__init__(f"{status} {title}: {detail}" + (f" (request {request_id})" if request_id else ""))
        self.status = status
        self.kind = kind
        """Type of the problem, such as `unknown-item`; `about:blank` if the status is all there is."""
        self.title = title
        self.detail = detail
        self.request_id = request_id
        """Search the service's log for it."""
        self.errors = errors


class NotFoundError(ProblemError):
    """The item, user, job or bundle does not exist."""


class ConflictError(ProblemError):
    """The request conflicts with the current state."""


class RefusedError(ProblemError):
    """The request is wrong, and would be refused again."""


class OverloadedError(ProblemError):
    """Too many requests are waiting, after all attempts."""


class UnavailableError(ProblemError):
    """Not ready, store unavailable, or deadline exceeded."""


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


def unreadable(answer: httpx2.Response, error: ValueError) -> ProblemError:
    """Turn a success that is not the service's answer into its exception."""
    reason = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        reason = f"{'.'.join(map(str, (error.title, *first['loc'])))}: {first['msg']}"
    detail = (
        f"{answer.request.url} answered {answer.headers.get('content-type', 'without a type')} {answer.text[:200]!r} "
        f"({reason}); check the client's url, and that service and client have the same release"
    )
    request_id = answer.headers.get("X-Request-ID")
    return ProblemError(answer.status_code, "about:blank", "Not an answer of the service", detail, request_id, [])


def problem_of(answer: httpx2.Response) -> ProblemError:
    """Turn an answer that is not a success into its exception."""
    if answer.has_redirect_location:
        detail = (
            f"{answer.request.url} redirects to {answer.headers['Location']}; give the client the url of the service"
        )
        return ProblemError(answer.status_code, "about:blank", answer.reason_phrase, detail, None, [])
    try:
        document = _Document.model_validate_json(answer.content)
    except ValidationError:
        # For example a proxy's own page.
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
