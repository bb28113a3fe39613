"""The answer form inside the service: computed once, kept in caches as it is, JSON only inside Redis.

Start at `Recommended`.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, is_dataclass
from itertools import chain

from clairo_core.recommendation import Recommendation, RecommendationList
from service.recommend.explanations import Explained, Reason
from service.served_items import ServedItem

ENCODING = 3
"""Part of each key in Redis; raise it when `encoded` writes something else."""


@dataclass(frozen=True, slots=True)
class Recommended:
    """A list of items, and the bundle, catalogue version and seed that reproduce it."""

    bundle_id: str
    catalogue_version: int
    seed: int
    ignored_item_ids: tuple[str, ...]
    """History items missing from the catalogue, without repetition."""
    answer: RecommendationList
    explanations: tuple[Explained, ...]
    """One per item; empty unless requested."""
    warnings: tuple[str, ...] = ()
    """About the request's rules and the items of this moment; never cached."""
    unknown_item_ids: tuple[str, ...] = ()
    """Candidates that are not in the catalogue or retired; never cached."""
    served_items: tuple[ServedItem, ...] = ()
    """One per item of the answer; never cached."""


def encoded(recommended: Recommended) -> bytes:
    """Encode an answer as JSON."""
    return json.dumps(asdict(recommended)).encode()


def decoded(text: bytes) -> Recommended:
    """Invert `encoded`."""
    read = json.loads(text)
    return Recommended(
        bundle_id=read["bundle_id"],
        catalogue_version=read["catalogue_version"],
        seed=read["seed"],
        ignored_item_ids=tuple(read["ignored_item_ids"]),
        answer=RecommendationList(
            tuple(Recommendation(**item | {"rules": tuple(item["rules"])}) for item in read["answer"]["items"]),
            read["answer"]["fallback_reason"],
        ),
        explanations=tuple(
            Explained(explained["text"], tuple(_decoded_reason(reason) for reason in explained["because_of"]))
            for explained in read["explanations"]
        ),
    )


def size_in_memory(part: object) -> int:
    """Bytes of an answer and everything in it; texts shared with the catalogue count too, so it is an upper bound."""
    inner: Iterable[object] = ()
    if isinstance(part, tuple):
        inner = part
    elif isinstance(part, dict):
        inner = chain(part, part.values())
    elif is_dataclass(part):
        inner = (getattr(part, name) for name in part.__dataclass_fields__)
    return sys.getsizeof(part) + sum(map(size_in_memory, inner))


def _decoded_reason(reason: dict) -> Reason:
    shared_features = tuple((name, value) for name, value in reason.pop("shared_features"))
    return Reason(**reason, shared_features=shared_features)
