"""What can go wrong in the service itself, beside the errors of `clairo_core`.

ClairoError
└── ServiceError
    ├── MalformedBodyError        the body is not what its content type says
    ├── InvalidBodyError          well-formed, but a field is wrong
    │   └── PictureUrlError       a picture's url that is not asked, or gives no picture
    ├── UnsupportedBodyError      a content type that the call does not take
    ├── NoPictureError            the item has none
    ├── NoEmbeddingsError         the bundle has no item embeddings
    ├── NoKeyError                no API key, or one that is not valid here
    ├── MissingScopeError         the key may do other things
    ├── KeyRateError              the key has done too much in the last minute
    ├── UnknownJobError           there is no such job
    ├── IdempotencyKeyReusedError the same Idempotency-Key, another body
    ├── ExportError               the tables cannot be written
    ├── CannotIngestError         the bundle has no encoders
    ├── UnknownBundleError        none of this id can be served
    ├── WorseBundleError          it measured worse than the serving one
    ├── SwapInProgressError       another bundle is being activated
    ├── NotReadyError             still starting, or draining
    ├── OverloadedError           the queue for the model is full
    ├── DeadlineExceededError     the answer took longer than the operator allows
    └── StoreError                the database cannot be used
        ├── NewerStoreError       written by a newer CLAIRO
        ├── OutdatedStoreError    written by an older CLAIRO, to be migrated first
        └── FeatureSetTakenError  another item has these features already
"""

from clairo_core.errors import ClairoError


class ServiceError(ClairoError):
    """Whatever the service itself raises on purpose."""


class MalformedBodyError(ServiceError):
    """The body cannot be parsed as what its content type says it is."""


class InvalidBodyError(ServiceError):
    """The body parses, but fields of it are wrong; `errors` says which."""

    def __init__(self, detail: str, errors: list[dict[str, object]]) -> None:
        super().__init__(detail)
        self.errors = errors
        """One `{"loc": [...], "msg": "..."}` a wrong field."""


class PictureUrlError(InvalidBodyError):
    """A picture's url may not be asked, cannot be, or what lies there is no picture."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, [{"loc": ["picture_url"], "msg": detail}])


class UnsupportedBodyError(ServiceError):
    """The call does not take bodies of this content type."""


class NoPictureError(ServiceError):
    """The item has no picture."""


class NoEmbeddingsError(ServiceError):
    """The bundle was trained on ready-made codes and has no item embeddings to compare."""


class NoKeyError(ServiceError):
    """The call needs an API key, and this one is missing, wrong, revoked, or of another namespace."""


class MissingScopeError(ServiceError):
    """The key is valid, but not for this."""


class KeyRateError(ServiceError):
    """The key has made as many calls as it may in a minute."""

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class UnknownJobError(ServiceError):
    """No job has this id, or it was done so long ago that it is forgotten."""


class IdempotencyKeyReusedError(ServiceError):
    """An Idempotency-Key came again with another body."""


class ExportError(ServiceError):
    """The store's tables cannot be written where they were wanted."""


class CannotIngestError(ServiceError):
    """The bundle was trained on ready-made codes and has no encoders to describe a new item with."""


class UnknownBundleError(ServiceError):
    """No bundle of this id can be served."""


class WorseBundleError(ServiceError):
    """The bundle measured worse than the one that is served."""


class SwapInProgressError(ServiceError):
    """Another bundle is being activated."""


class NotReadyError(ServiceError):
    """Bundle, trie and warm-up are not done yet, or the service is shutting down."""


class OverloadedError(ServiceError):
    """As many requests as allowed wait for the model already."""


class DeadlineExceededError(ServiceError):
    """The answer took longer than the operator allows."""


class StoreError(ServiceError):
    """The database cannot be opened, read or written."""


class NewerStoreError(StoreError):
    """The database was written by a newer CLAIRO than this one."""


class OutdatedStoreError(StoreError):
    """The database's schema is older than this CLAIRO's, and was not to be changed without being asked."""


class FeatureSetTakenError(StoreError):
    """Another item has this feature set already."""
