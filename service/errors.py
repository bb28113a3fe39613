"""Errors of the service, beside those of `clairo_core`.

ClairoError
└── ServiceError
    ├── MalformedBodyError        the body cannot be parsed as its content type
    ├── InvalidBodyError          well-formed, but a field is wrong
    │   ├── InvalidItemError      an item's content breaks a rule of the namespace
    │   └── PictureUrlError       a picture cannot be fetched from its url
    ├── StoredValuesError         stored values cannot be read as the declared type
    ├── UnsupportedBodyError      unsupported content type
    │   └── UnsupportedEncodingError  unsupported content encoding
    ├── NoPictureError            the item has no picture
    ├── NoEmbeddingsError         the bundle has no item embeddings
    ├── NoKeyError                API key missing or invalid
    ├── MissingScopeError         the API key lacks the required scope
    ├── UntrustedHostError        the Host header names another service
    ├── ForeignOriginError        the request comes from a page of another origin
    ├── KeyRateError              the API key exceeded its rate limit
    ├── UnknownJobError           job not found
    ├── UnknownEventError         event not found
    ├── SessionMergedError        the session is another user's
    ├── UnknownPlacementError     placement not found
    ├── TooManyPlacementsError    no more placements can be saved
    ├── IdempotencyKeyReusedError the same Idempotency-Key with another body
    ├── ExportError               the tables cannot be written
    ├── ImportDataError           the data set cannot be read
    ├── CannotIngestError         the bundle has no encoders
    ├── UnknownBundleError        bundle not found
    ├── NoReportError             nobody has written a report on the bundle
    ├── WorseBundleError          nothing shows that it is as good as the served one
    ├── SwapInProgressError       another bundle is being activated
    ├── RollbackError             no bundle to go back to, or an experiment compares with the served one
    ├── NotReadyError             starting or draining
    ├── OverloadedError           the queue for the model is full
    ├── DeadlineExceededError     the answer took longer than the operator allows
    └── StoreError                the database cannot be used
        ├── NewerStoreError       written by a newer CLAIRO
        ├── OutdatedStoreError    written by an older CLAIRO; migrate first
        └── FeatureSetTakenError  another item has these features already
"""

from collections.abc import Mapping, Sequence

from clairo_core.errors import ClairoError


class ServiceError(ClairoError):
    """An error that the service raises on purpose."""


class MalformedBodyError(ServiceError):
    """The body cannot be parsed as its content type."""


class InvalidBodyError(ServiceError):
    """The body parses, but some of its fields are wrong."""

    def __init__(self, detail: str, errors: Sequence[Mapping[str, object]]) -> None:
        super().__init__(detail)
        self.errors = errors
        """One `{"loc": [...], "msg": "..."}` per wrong field."""


class InvalidItemError(InvalidBodyError):
    """An attribute is not of its name's type, or nothing is left of an item."""

    def __init__(self, item_id: str, loc: list[object], reason: str) -> None:
        super().__init__(f"item {item_id!r}: {reason}", [{"loc": loc, "msg": reason}])
        self.item_id = item_id

    def within(self, *place: object) -> InvalidBodyError:
        """The same error of an item at this place of a body."""
        errors = [{**error, "loc": [*place, *error["loc"]]} for error in self.errors]  # type: ignore[misc]
        return InvalidBodyError(str(self), errors)


class PictureUrlError(InvalidBodyError):
    """A picture's url is not allowed, does not answer, or is not a picture."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, [{"loc": ["picture_url"], "msg": detail}])


class StoredValuesError(ServiceError):
    """Stored values of an attribute cannot be read as the type that is declared for it."""


class UnsupportedBodyError(ServiceError):
    """The call does not support this content type."""


class UnsupportedEncodingError(UnsupportedBodyError):
    """The body has a content encoding other than gzip."""


class NoPictureError(ServiceError):
    """The item has no picture."""


class NoEmbeddingsError(ServiceError):
    """The bundle has no item embeddings to compare."""


class NoKeyError(ServiceError):
    """The call needs an API key, and this one is missing, wrong, revoked, or of another namespace."""


class MissingScopeError(ServiceError):
    """The key lacks the scope that the call requires."""


class UntrustedHostError(ServiceError):
    """The Host header names neither this machine nor an allowed host."""


class ForeignOriginError(ServiceError):
    """A page of another origin sent the request, and no key protects the service."""


class KeyRateError(ServiceError):
    """The key exceeded its calls per minute."""

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class UnknownJobError(ServiceError):
    """No job has this id, or it ended so long ago that its record is deleted."""


class UnknownEventError(ServiceError):
    """No event has this id."""


class SessionMergedError(ServiceError):
    """The session was merged into another user before."""


class UnknownPlacementError(ServiceError):
    """No placement has this name, or no version of it this number."""


class TooManyPlacementsError(ServiceError):
    """As many placements are saved as the service keeps."""


class IdempotencyKeyReusedError(ServiceError):
    """An Idempotency-Key came again with another body."""


class ExportError(ServiceError):
    """The store's tables cannot be written to this folder."""


class ImportDataError(ServiceError):
    """A data set cannot be read for an import."""


class CannotIngestError(ServiceError):
    """The bundle has no encoders for new items."""


class UnknownBundleError(ServiceError):
    """No bundle has this id."""


class NoReportError(ServiceError):
    """Nobody has written a report on the bundle."""


class WorseBundleError(ServiceError):
    """Nothing shows that the bundle is as good as the served one."""


class SwapInProgressError(ServiceError):
    """Another bundle is being activated."""


class RollbackError(ServiceError):
    """There is no bundle to go back to, or an experiment compares with the served one."""


class UnknownExperimentError(ServiceError):
    """The newest experiment has another name."""


class ExperimentConflictError(ServiceError):
    """Another experiment runs, the name or the bundle is taken, or the settings name the experiment."""


class NotReadyError(ServiceError):
    """The service is starting or shutting down."""


class OverloadedError(ServiceError):
    """The queue is full."""


class DeadlineExceededError(ServiceError):
    """The answer took longer than the operator allows."""


class StoreError(ServiceError):
    """The database cannot be opened, read or written."""


class NewerStoreError(StoreError):
    """The database was written by a newer CLAIRO than this one."""


class OutdatedStoreError(StoreError):
    """The database's schema is older than this CLAIRO's, and may not be migrated unasked."""


class FeatureSetTakenError(StoreError):
    """Another item has one of these feature sets already, or another process described the item first."""

    def __init__(self, message: str, feature_sets: Sequence[tuple[int, ...]] = ()) -> None:
        super().__init__(message)
        self.feature_sets = feature_sets
