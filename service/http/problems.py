"""Turn every error into an RFC 9457 answer, `application/problem+json`; the framework's own included.

Knows status codes, titles and error classes; knows nothing of what raised them. A client never sees a traceback,
and nothing it sends may end here as a 500: that status means that we are at fault.

Source: RFC 9457, "Problem Details for HTTP APIs". We add `request_id` and, for fields, `errors: [{loc, msg}]`.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from clairo_core import errors as core
from service import errors as service
from service.http.request_context import request_id_of

logger = logging.getLogger("clairo.problems")

MEDIA_TYPE = "application/problem+json"
MAX_REPORTED_FIELDS = 20
MAX_FIELD_NAME_CHARACTERS = 100
RETRY_AFTER_SECONDS = 1
STORE_DETAIL = "the store cannot be used now; the service's log has more under this request_id"


class ProblemKind(NamedTuple):
    """What a class of errors looks like to a client."""

    status: int
    name: str
    title: str


# The first class that an error is an instance of counts, so a class stands above those it derives from.
KINDS: Mapping[type[core.ClairoError], ProblemKind] = {
    service.MalformedBodyError: ProblemKind(400, "malformed-body", "The body cannot be parsed"),
    service.PictureUrlError: ProblemKind(422, "picture-url", "The picture at this url cannot be taken"),
    service.InvalidBodyError: ProblemKind(422, "invalid-fields", "Some fields are wrong"),
    service.UnsupportedBodyError: ProblemKind(415, "unsupported-body", "This content type is not taken here"),
    core.UnreadablePictureError: ProblemKind(415, "unreadable-picture", "Not a picture that CLAIRO reads"),
    core.ContentTooLargeError: ProblemKind(413, "content-too-large", "A picture or body is too large"),
    core.ContentError: ProblemKind(422, "unusable-content", "The item's content cannot be used"),
    core.UnknownItemError: ProblemKind(404, "unknown-item", "There is no such item"),
    service.NoPictureError: ProblemKind(404, "no-picture", "The item has no picture"),
    service.NoKeyError: ProblemKind(401, "no-key", "An API key is needed"),
    service.MissingScopeError: ProblemKind(403, "missing-scope", "The key may not do this"),
    service.KeyRateError: ProblemKind(429, "key-rate", "The key has made too many calls"),
    service.UnknownJobError: ProblemKind(404, "unknown-job", "There is no such job"),
    service.IdempotencyKeyReusedError: ProblemKind(422, "idempotency-key-reused", "The key came with another body"),
    core.DuplicateItemError: ProblemKind(409, "item-exists", "An item of this id exists already"),
    service.NoEmbeddingsError: ProblemKind(409, "no-embeddings", "This bundle cannot compare items"),
    service.CannotIngestError: ProblemKind(409, "cannot-ingest", "This bundle cannot take new items"),
    core.FeatureSpaceFullError: ProblemKind(409, "feature-space-full", "No feature set is left"),
    service.UnknownBundleError: ProblemKind(404, "unknown-bundle", "There is no such bundle"),
    service.WorseBundleError: ProblemKind(409, "worse-bundle", "The bundle measured worse than the serving one"),
    service.SwapInProgressError: ProblemKind(409, "activation-in-progress", "Another bundle is being activated"),
    core.NewerBundleError: ProblemKind(409, "newer-bundle", "The bundle was written by a newer CLAIRO"),
    core.BundleDigestError: ProblemKind(409, "damaged-bundle", "The bundle's files are not those that were written"),
    core.BundleError: ProblemKind(409, "unusable-bundle", "The bundle cannot be served"),
    core.GeneratorError: ProblemKind(409, "unusable-bundle", "The bundle cannot be served"),
    service.OverloadedError: ProblemKind(429, "overloaded", "Too many requests wait already"),
    service.NotReadyError: ProblemKind(503, "not-ready", "The service is not ready"),
    service.StoreError: ProblemKind(503, "store-unavailable", "The store cannot be used now"),
    service.DeadlineExceededError: ProblemKind(504, "deadline-exceeded", "The answer took too long"),
}


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of `app`, its framework's included, as problem+json."""
    app.add_exception_handler(core.ClairoError, _answer_clairo_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_framework_error)


def problem_response(  # one argument a member of the document
    *,
    status: int,
    name: str = "",
    title: str = "",
    detail: str,
    instance: str,
    request_id: str,
    errors: Sequence[Mapping[str, object]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem document as an answer; an empty `name` means that the status says it all (`about:blank`)."""
    document: dict[str, object] = {
        "type": f"urn:clairo:problem:{name}" if name else "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }
    if errors:
        document["errors"] = list(errors)
    # A lone surrogate, which JSON can carry and UTF-8 cannot, comes back as the escape it came as.
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", errors="backslashreplace")
    return Response(body, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_of_error(error: core.ClairoError, kind: ProblemKind, instance: str, request_id: str) -> Response:
    """The answer to an error of this kind."""
    return problem_response(
        status=kind.status,
        name=kind.name,
        title=kind.title,
        # What a database says names files and statements: that is for the log alone.
        detail=STORE_DETAIL if isinstance(error, service.StoreError) else str(error),
        instance=instance,
        request_id=request_id,
        errors=error.errors if isinstance(error, service.InvalidBodyError) else (),
        headers=_headers_of(error, kind),
    )


def problem_document(error: core.ClairoError, instance: str, request_id: str) -> dict[str, object]:
    """What one error among other answers is said with: the document that it would have been answered with alone."""
    kind = kind_of(error)
    if kind is None:
        raise error
    document: dict[str, object] = json.loads(bytes(problem_of_error(error, kind, instance, request_id).body))
    return document


def kind_of(error: core.ClairoError) -> ProblemKind | None:
    """How an error is answered; None for one that no client can cause."""
    return next((kind for error_class, kind in KINDS.items() if isinstance(error, error_class)), None)


def readable_errors(errors: Sequence[Any]) -> list[dict[str, object]]:
    """Pydantic's errors as `{loc, msg}`, the first few of them; what the client sent is not sent back."""
    return [
        {
            "loc": [part if isinstance(part, int) else str(part)[:MAX_FIELD_NAME_CHARACTERS] for part in error["loc"]],
            "msg": error["msg"].removeprefix("Value error, "),
        }
        for error in errors[:MAX_REPORTED_FIELDS]
    ]


async def _answer_clairo_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, core.ClairoError):
        raise error
    return answer_to(error, request.scope)


def answer_to(error: core.ClairoError, scope: Scope) -> Response:
    """The answer to an error, in a handler or in middleware; one that no client can cause is raised again."""
    kind = kind_of(error)
    if kind is None:
        raise error
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s request_id=%s: %s", kind.name, request_id_of(scope), error)
    return problem_of_error(error, kind, scope["path"], request_id_of(scope))


def _headers_of(error: core.ClairoError, kind: ProblemKind) -> dict[str, str]:
    if kind.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    if kind.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        seconds = error.retry_after_seconds if isinstance(error, service.KeyRateError) else RETRY_AFTER_SECONDS
        return {"Retry-After": str(seconds)}
    return {}


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    problems = error.errors()
    is_malformed = any(problem["type"] == "json_invalid" for problem in problems)
    kind = KINDS[service.MalformedBodyError if is_malformed else service.InvalidBodyError]
    first = readable_errors(problems[:1])[0]
    where = " -> ".join(str(part) for part in first["loc"])  # type: ignore[attr-defined]
    return problem_response(
        status=kind.status,
        name=kind.name,
        title=kind.title,
        detail=f"{where}: {first['msg']}",
        instance=request.url.path,
        request_id=request_id_of(request.scope),
        errors=readable_errors(problems),
    )


async def _answer_framework_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    details = {
        404: f"there is nothing at {path}; /openapi.json lists every call",
        405: f"{path} does not take {request.method}; the Allow header says what it takes",
    }
    headers = dict(error.headers or {})
    if methods := "Allow" in headers and _methods_at(request):
        headers["Allow"] = ", ".join(methods)
    is_too_large = error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    too_large = KINDS[core.ContentTooLargeError]
    return problem_response(
        status=error.status_code,
        name=too_large.name if is_too_large else "",
        title=too_large.title if is_too_large else "",
        detail=details.get(error.status_code, str(error.detail)),
        instance=path,
        request_id=request_id_of(request.scope),
        headers=headers,
    )


def _methods_at(request: Request) -> list[str]:
    """What is taken at a path, where the framework names only what the first route that fits it takes.

    Empty within a mounted folder, which has named all.
    """
    return [
        method
        for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
