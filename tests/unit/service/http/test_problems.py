"""Every error class of ours is answered as a problem of some kind, or cannot reach a client."""

from collections.abc import Iterator

import service.app  # noqa: F401 - defines every error class that a request can meet
from clairo_core.errors import ClairoError
from service.http.problems import KINDS, NEVER_ANSWERED


def subclasses_of(error_class: type[ClairoError]) -> Iterator[type[ClairoError]]:
    for subclass in error_class.__subclasses__():
        yield subclass
        yield from subclasses_of(subclass)


def test_every_error_class_has_a_kind_or_a_reason_why_no_client_meets_it() -> None:
    ours = {error_class for error_class in subclasses_of(ClairoError) if not error_class.__module__.startswith("test")}
    assert len(ours) > 50
    with_kind = {error_class for error_class in ours if issubclass(error_class, tuple(KINDS))}
    # By name: ServiceError is in the list, and a new subclass of it must not hide behind its base class.
    bases = tuple(error_class for error_class in NEVER_ANSWERED if error_class.__name__ != "ServiceError")
    never = {error_class for error_class in ours if error_class in NEVER_ANSWERED or issubclass(error_class, bases)}
    assert ours - with_kind - never == set()
    assert with_kind & never == set()


def test_no_kind_is_hidden_by_the_kind_of_a_base_class() -> None:
    classes = list(KINDS)
    for place, error_class in enumerate(classes):
        assert not issubclass(error_class, tuple(classes[:place])), error_class
