"""A request for recommendations, and its answer."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real

from clairo_core.items import UserHistory
from clairo_core.serving_points import BALANCED, Quality

GENERATIVE = "generative"
DENSE = "dense"
POPULAR = "popular"

EMPTY_HISTORY = "empty_history"
UNKNOWN_HISTORY = "unknown_history"
CATALOGUE_EXHAUSTED = "catalogue_exhausted"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended item."""

    item_id: str
    rank: int
    """From 1."""
    score: float
    """Logarithm of the item's probability, or for `popular` of its share of all users, late ones weighing more; lowered
    if the item is like one that the user dislikes, and moved by the request's `lifts`."""
    source: str
    """The model that scored it higher, `generative` or `dense`; or `popular`."""
    rules: tuple[str, ...] = ()
    """Names of the merchandising rules that moved it; the recommender itself has none."""


@dataclass(frozen=True, slots=True)
class RecommendationList:
    """The answer to one request."""

    items: tuple[Recommendation, ...]
    fallback_reason: str | None = None
    """Why the list is popular (`empty_history`, `unknown_history`) or too short (`catalogue_exhausted`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationRequest:
    """A request for one user."""

    history: UserHistory
    limit: int
    include_seen: bool = False
    """Whether items of the history may be recommended."""
    exclude: Collection[str] = ()
    """Item ids that must not be recommended; unknown ones are ignored."""
    disliked: Collection[str] = ()
    """Ids of items that the user dislikes: never recommended, and items like them sink. Unknown ones are ignored."""
    is_allowed: Bool[np.ndarray, "item"] | None = None
    """By row, whether an item passes the caller's filter; rows past its end, added later, fail."""
    candidates: Collection[str] | None = None
    """Rank exactly these items, seen, excluded and disliked ones included; unknown and retired ones are ignored."""
    lifts: Float64[np.ndarray, "item"] | None = None
    """By row, added to the log-probability; rows past its end get 0."""
    stranger_weights: Real[np.ndarray, "item"] | None = None
    """By row, what the items of a history without known items are ranked by, instead of popularity."""
    seed: int = 0
    """Draws the views: equal requests with equal seeds get equal answers."""
    quality: Quality = BALANCED
    """Chooses the search, among the recommender's points."""
