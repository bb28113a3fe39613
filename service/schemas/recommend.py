"""The JSON of recommending: what clients ask for, one or many, and what they get. Never passed inward.

Unknown fields are refused, not ignored, as in `schemas`.
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

from service.schemas.filters import BoundedFilterBody
from service.schemas.items import Feature, ItemId, ItemSummary
from service.schemas.problems import Problem
from service.schemas.request_body import RequestBody

MAX_HISTORY_ITEMS = 1000
MAX_EXCLUDED_ITEMS = 1000
MAX_RECOMMENDATIONS = 100
MAX_BATCH_REQUESTS = 100
MAX_SEED = 2**31 - 1

UserId = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class HistoryEntry(RequestBody):
    """One thing that a user did."""

    item_id: ItemId
    timestamp: float | None = Field(default=None, description="Seconds since 1970; entries are put in its order.")


class RecommendBody(RequestBody):
    """A user's history, or whose it is, and what is wanted."""

    history: list[ItemId | HistoryEntry] | None = Field(
        default=None,
        max_length=MAX_HISTORY_ITEMS,
        description="Oldest first. With timestamps, on all or none of the entries, in any order.",
    )
    user_id: UserId | None = Field(
        default=None,
        description="Whose history to take, as POST /feedback told it. Beside a history, it only says who is asking.",
    )
    limit: int = Field(default=10, ge=1, le=MAX_RECOMMENDATIONS, description="How many distinct items.")
    filter: BoundedFilterBody | None = Field(default=None, description="Which items may be recommended.")
    exclude_item_ids: list[ItemId] = Field(
        default=[], max_length=MAX_EXCLUDED_ITEMS, description="Items never to recommend here."
    )
    include_seen: bool = Field(default=False, description="Whether items of the history may come back.")
    diversity: float = Field(
        default=0.0, ge=0, le=1, description="0 ranks by what fits best; the higher, the less alike the items."
    )
    explain: bool = Field(default=False, description="Whether to say of each item what of the history brought it.")
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="The same seed, the same recommendations.")

    @model_validator(mode="after")
    def _says_whose_history(self) -> Self:
        if self.history is None and self.user_id is None:
            raise ValueError("give a history, [] for somebody new, or a user_id")
        return self

    @model_validator(mode="after")
    def _timestamps_on_all_or_none(self) -> Self:
        have_timestamp = {
            isinstance(entry, HistoryEntry) and entry.timestamp is not None for entry in self.history or []
        }
        if len(have_timestamp) > 1:
            raise ValueError("some history entries have a timestamp and some have none; give it on all or none")
        return self

    def history_item_ids(self) -> tuple[str, ...] | None:
        """The history's items, oldest first; None if the user's own is wanted."""
        if self.history is None:
            return None
        entries = [HistoryEntry(item_id=entry) if isinstance(entry, str) else entry for entry in self.history]
        return tuple(entry.item_id for entry in sorted(entries, key=lambda entry: entry.timestamp or 0.0))


class ExplainedBy(BaseModel):
    """An item of the history that brought a recommendation, and what both share."""

    item_id: str
    title: str
    effect: float | None = Field(
        description="The recommended item's log-probability, less what it is without this item in the history; "
        "null where the history has no other item."
    )
    shared_attributes: dict[str, str]
    shared_features: list[Feature] = Field(description="Codes of the semantic id that both have.")
    modality_similarity: dict[str, float | None] = Field(
        description="Cosine within each modality; null where one of both has nothing of it."
    )


class Explanation(BaseModel):
    """Why an item is recommended."""

    text: str
    because_of: list[ExplainedBy] = Field(description="Strongest first; empty if no single item brought it.")


class RecommendedItem(BaseModel):
    """One item of an answer."""

    item_id: str
    rank: int = Field(description="1 is best.")
    score: float = Field(description="Higher is better; comparable within one answer and source only.")
    source: str = Field(description="`generative` or `dense`, or `popular` where neither has an answer.")
    explanation: Explanation | None = Field(description="Null unless it was asked for.")


class RecommendAnswer(BaseModel):
    """Recommendations, best first."""

    recommendation_id: str = Field(description="Send it with feedback on these items.")
    bundle_id: str
    catalogue_version: int
    seed: int = Field(description="Send it to be given the same again.")
    fallback_reason: str | None = Field(
        description="Why these are not, or not only, generated, or fewer than asked for; null if neither."
    )
    ignored_item_ids: list[str] = Field(description="Items of the history that the catalogue does not know.")
    items: list[RecommendedItem]


class RecommendBatchBody(RequestBody):
    """Many requests in one call."""

    requests: list[dict[str, Any]] = Field(
        min_length=1, max_length=MAX_BATCH_REQUESTS, description="Each as the body of POST /recommend."
    )


class BatchResult(BaseModel):
    """The answer to one of many requests, or what was wrong with it; the other is null."""

    recommendation: RecommendAnswer | None = None
    problem: Problem | None = None


class RecommendBatchAnswer(BaseModel):
    """One result each, in the order of the requests."""

    results: list[BatchResult]


class SimilarItem(BaseModel):
    """An item that is like the one asked about."""

    item: ItemSummary
    rank: int = Field(description="1 is most alike.")
    similarity: float = Field(description="Cosine of both item embeddings.")
    modality_similarity: dict[str, float | None] = Field(
        description="Cosine within each modality; null where one of both has nothing of it."
    )


class SimilarItems(BaseModel):
    """What is most like an item by its content."""

    item_id: str
    bundle_id: str
    catalogue_version: int
    items: list[SimilarItem]


class ExperimentArm(BaseModel):
    """One arm, and what came of it."""

    arm: str = Field(description="`control`, the bundle that everybody else gets, or `treatment`.")
    bundle_id: str
    num_served: int = Field(description="Recommendations given by this process since it started.")
    num_shown: int = Field(description="Recommendations that feedback tells an impression of.")
    num_hit: int = Field(description="Of those shown, the ones that somebody followed.")
    hit_rate: float | None = Field(description="Followed of shown; null where none was shown.")
    hit_rate_interval: tuple[float, float] | None = Field(description="Where it lies with 95% confidence.")


class ExperimentAnswer(BaseModel):
    """An experiment that runs."""

    name: str
    share: float = Field(description="Of users in the treatment arm.")
    arms: list[ExperimentArm]


class ExperimentList(BaseModel):
    """The experiments that run: none or one."""

    experiments: list[ExperimentAnswer]
