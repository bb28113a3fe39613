"""Turn every error, the framework's own included, into an RFC 9457 answer: `application/problem+json`.

A client never gets a traceback, and nothing it sends may end as a 500, which means that we are at fault.

Source: RFC 9457, "Problem Details for HTTP APIs". We add `request_id` and, for fields, `errors: [{loc, msg}]`.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from clairo_core import errors as core
from service import errors as service
from service.http.field_errors import readable_errors, text_of
from service.http.head import is_routed
from service.http.request_context import request_id_of

logger = logging.getLogger("clairo.problems")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
STORE_DETAIL = "the store is unavailable; the service's log has the reason under this request_id"


class ProblemKind(NamedTuple):
    """A class of errors as clients get it."""

    status: int
    name: str
    title: str


UNUSABLE_BUNDLE = ProblemKind(409, "unusable-bundle", "Bundle cannot be used")

# The first class that an error is an instance of decides, so subclasses stand above their bases.
KINDS: Mapping[type[core.ClairoError], ProblemKind] = {
    service.MalformedBodyError: ProblemKind(400, "malformed-body", "Malformed body"),
    service.UnsupportedEncodingError: ProblemKind(415, "unsupported-encoding", "Unsupported content encoding"),
    service.PictureUrlError: ProblemKind(422, "picture-url", "Picture cannot be fetched from this url"),
    service.InvalidBodyError: ProblemKind(422, "invalid-fields", "Invalid fields"),
    service.StoredValuesError: ProblemKind(409, "stored-values", "Stored values have another type"),
    service.UnsupportedBodyError: ProblemKind(415, "unsupported-body", "Unsupported content type"),
    core.UnreadablePictureError: ProblemKind(415, "unreadable-picture", "Unreadable picture"),
    core.ContentTooLargeError: ProblemKind(413, "content-too-large", "Picture, text or body too large"),
    core.ContentError: ProblemKind(422, "unusable-content", "Item content cannot be used"),
    core.UnknownItemError: ProblemKind(404, "unknown-item", "Item not found"),
    service.NoPictureError: ProblemKind(404, "no-picture", "Item has no picture"),
    service.NoKeyError: ProblemKind(401, "no-key", "API key missing or invalid"),
    service.MissingScopeError: ProblemKind(403, "missing-scope", "API key lacks the required scope"),
    service.UntrustedHostError: ProblemKind(403, "untrusted-host", "Host not allowed"),
    service.ForeignOriginError: ProblemKind(403, "foreign-origin", "Origin not allowed"),
    service.KeyRateError: ProblemKind(429, "key-rate", "API key exceeded its rate limit"),
    service.UnknownJobError: ProblemKind(404, "unknown-job", "Job not found"),
    service.UnknownEventError: ProblemKind(404, "unknown-event", "Event not found"),
    service.SessionMergedError: ProblemKind(409, "session-merged", "Session is another user's"),
    service.UnknownPlacementError: ProblemKind(404, "unknown-placement", "Placement not found"),
    service.TooManyPlacementsError: ProblemKind(409, "too-many-placements", "Too many placements"),
    service.IdempotencyKeyReusedError: ProblemKind(
        422, "idempotency-key-reused", "Idempotency-Key reused with another body"
    ),
    core.DuplicateItemError: ProblemKind(409, "item-exists", "Item already exists"),
    service.NoEmbeddingsError: ProblemKind(409, "no-embeddings", "Bundle has no item embeddings"),
    service.CannotIngestError: ProblemKind(409, "cannot-ingest", "Bundle has no encoders for new items"),
    core.FeatureSpaceFullError: ProblemKind(409, "feature-space-full", "No free feature set left"),
    service.UnknownBundleError: ProblemKind(404, "unknown-bundle", "Bundle not found"),
    service.NoReportError: ProblemKind(404, "no-report", "Bundle has no report"),
    service.WorseBundleError: ProblemKind(409, "worse-bundle", "Bundle may be worse than the served one"),
    service.SwapInProgressError: ProblemKind(409, "activation-in-progress", "Another activation is in progress"),
    service.RollbackError: ProblemKind(409, "no-rollback", "Cannot roll back"),
    service.UnknownExperimentError: ProblemKind(404, "unknown-experiment", "Experiment not found"),
    service.ExperimentConflictError: ProblemKind(409, "experiment-conflict", "Experiment cannot be changed"),
    core.NewerBundleError: ProblemKind(409, "newer-bundle", "Bundle was written by a newer CLAIRO"),
    core.BundleDigestError: ProblemKind(409, "damaged-bundle", "Bundle is damaged"),
    core.BundleStorageError: ProblemKind(503, "bundle-storage-unavailable", "Storage of bundles is unavailable"),
    core.BundleError: UNUSABLE_BUNDLE,
    # A part of a bundle: damaged, of another bundle, or without its library. Activation meets them, and ingestion.
    core.CatalogueError: UNUSABLE_BUNDLE,
    core.EncoderError: UNUSABLE_BUNDLE,
    core.FeatureSetError: UNUSABLE_BUNDLE,
    core.FusionError: UNUSABLE_BUNDLE,
    core.GeneratorError: UNUSABLE_BUNDLE,
    core.QuantizerError: UNUSABLE_BUNDLE,
    core.RankingError: UNUSABLE_BUNDLE,
    core.VocabularyError: UNUSABLE_BUNDLE,
    service.OverloadedError: ProblemKind(429, "overloaded", "Too many waiting requests"),
    service.NotReadyError: ProblemKind(503, "not-ready", "Service is not ready"),
    service.StoreError: ProblemKind(503, "store-unavailable", "Store is unavailable"),
    service.DeadlineExceededError: ProblemKind(504, "deadline-exceeded", "Deadline exceeded"),
}

FRAMEWORK_KINDS = {kind.status: kind for kind in (KINDS[service.MalformedBodyError], KINDS[core.ContentTooLargeError])}
"""Of errors raised while the framework reads a body."""

NEVER_ANSWERED: Mapping[type[core.ClairoError], str] = {
    core.SettingsError: "settings are read before the service listens",
    core.DatasetError: "only training reads tables",
    core.TrainingError: "only training trains",
    service.ExportError: "only `clairo-serve export` writes tables",
    service.ImportDataError: "only `clairo-serve import` reads data sets",
    service.ServiceError: "a base class; each subclass has its own kind",
}
"""Classes without a kind, and why no client meets them: one that is answered all the same is our fault, a 500."""


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of `app`, its framework's included, as problem+json."""
    app.add_exception_handler(core.ClairoError, _answer_clairo_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_framework_error)


def problem_response(
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
    """Answer with one problem document; without a `name` its type is `about:blank` and the status explains it."""
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
    # JSON can carry a lone surrogate, UTF-8 cannot: it goes back as the escape it came as.
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", errors="backslashreplace")
    return Response(body, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_of_error(error: core.ClairoError, kind: ProblemKind, instance: str, request_id: str) -> Response:
    """Answer an error of this kind."""
    return problem_response(
        status=kind.status,
        name=kind.name,
        title=kind.title,
        # Database errors name files and statements: for the log only.
        detail=STORE_DETAIL if isinstance(error, service.StoreError) else str(error),
        instance=instance,
        request_id=request_id,
        errors=error.errors if isinstance(error, service.InvalidBodyError) else (),
        headers=_headers_of(error, kind),
    )


def problem_document(error: core.ClairoError, instance: str, request_id: str) -> dict[str, object]:
    """The document that an error would be answered with, for an error among other answers."""
    kind = kind_of(error)
    if kind is None:
        raise error
    document: dict[str, object] = json.loads(bytes(problem_of_error(error, kind, instance, request_id).body))
    return document


def kind_of(error: core.ClairoError) -> ProblemKind | None:
    """The kind of an error; None for one of `NEVER_ANSWERED`."""
    return next((kind for error_class, kind in KINDS.items() if isinstance(error, error_class)), None)


async def _answer_clairo_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, core.ClairoError):
        raise error
    return answer_to(error, request.scope)


def answer_to(error: core.ClairoError, scope: Scope) -> Response:
    """Answer an error, in a handler or in middleware; one without a kind is raised again."""
    kind = kind_of(error)
    if kind is None:
        raise error
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s request_id=%s: %s", kind.name, request_id_of(scope), error)
    return problem_of_error(error, kind, scope["path"], request_id_of(scope))


def _headers_of(error: core.ClairoError, kind: ProblemKind) -> dict[str, str]:
    if kind.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, service.UnsupportedEncodingError):
        return {"Accept-Encoding": "gzip"}
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
    sent = {
        "body": error.body,
        "query": request.query_params,
        "path": request.path_params,
        "header": request.headers,
    }
    errors = readable_errors(problems, sent)
    return problem_response(
        status=kind.status,
        name=kind.name,
        title=kind.title,
        detail=text_of(errors[0]),
        instance=request.url.path,
        request_id=request_id_of(request.scope),
        errors=errors,
    )


async def _answer_framework_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    details = {
        404: f"nothing at {path}; /openapi.json lists every call",
        405: f"{path} does not allow {request.method}; the Allow header lists the methods it allows",
    }
    headers = dict(error.headers or {})
    if methods := "Allow" in headers and _methods_at(request):
        headers["Allow"] = ", ".join(methods)
    kind = FRAMEWORK_KINDS.get(error.status_code, ProblemKind(error.status_code, "", ""))
    return problem_response(
        status=kind.status,
        name=kind.name,
        title=kind.title,
        detail=details.get(error.status_code, str(error.detail)),
        instance=path,
        request_id=request_id_of(request.scope),
        headers=headers,
    )


def _methods_at(request: Request) -> list[str]:
    """Methods allowed at a path by all its routes, since the framework names those of the first one only.

    Empty within a mounted folder, which names all of its own.
    """
    methods = {name for name in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT") if is_routed(request.scope, name)}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
