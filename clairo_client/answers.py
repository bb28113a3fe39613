"""Answers of the service, as its OpenAPI document describes them. Written by `make client`; do not edit.

Fields of a newer service are ignored.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel


class Feature(BaseModel):
    """A value of one category."""

    category: str
    value: int


class ExplainedBy(BaseModel):
    """A history item that led to a recommendation, and what both share."""

    item_id: str
    title: str
    effect: float | None
    shared_attributes: dict[str, str | bool | float | list[str]]
    shared_features: list[Feature]
    modality_similarity: dict[str, float | None]


class Explanation(BaseModel):
    """Why an item is recommended."""

    text: str
    because_of: list[ExplainedBy]


class RecommendedItem(BaseModel):
    """One recommended item."""

    item_id: str
    rank: int
    score: float
    source: str
    rules: list[str]
    title: str | None = None
    attributes: dict[str, str | bool | float | list[str]] | None = None
    picture_url: str | None = None
    explanation: Explanation | None


class RecommendAnswer(BaseModel):
    """Recommendations, best first."""

    recommendation_id: str
    bundle_id: str
    catalogue_version: int
    seed: int
    fallback_reason: str | None
    ignored_item_ids: list[str]
    unknown_item_ids: list[str] = []
    warnings: list[str] = []
    items: list[RecommendedItem]
    next_cursor: str | None = None


class FieldError(BaseModel):
    """An invalid field."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldError] | None = None


class BatchResult(BaseModel):
    """The recommendation for one request, or its problem; the other is null."""

    recommendation: RecommendAnswer | None = None
    problem: Problem | None = None


class RecommendBatchAnswer(BaseModel):
    """One result per request, in order."""

    results: list[BatchResult]


class ItemSummary(BaseModel):
    """An item in a list."""

    item_id: str
    title: str
    attributes: dict[str, str | bool | float | list[str]]
    picture_url: str | None
    origin: Literal["bundle", "posted"]


class SimilarItem(BaseModel):
    """A similar item."""

    item: ItemSummary
    rank: int
    similarity: float
    modality_similarity: dict[str, float | None]


class SimilarItems(BaseModel):
    """Items most similar by content."""

    item_id: str
    bundle_id: str
    catalogue_version: int
    warnings: list[str] = []
    items: list[SimilarItem]


class PlacementAnswer(BaseModel):
    """A saved placement."""

    name: str
    version: int
    saved_at: datetime
    rules: dict[str, Any]


class PlacementList(BaseModel):
    """All saved placements, by name."""

    placements: list[PlacementAnswer]


class PreviewAnswer(BaseModel):
    """The same request under the saved placement and under the draft. Nothing was saved."""

    before: RecommendAnswer
    after: RecommendAnswer


class PopularItem(BaseModel):
    """A popular item."""

    item: ItemSummary
    rank: int
    num_users: int


class PopularItemList(BaseModel):
    """Items of a window by users, then others by popularity over all time."""

    bundle_id: str
    catalogue_version: int
    warnings: list[str] = []
    window: str
    items: list[PopularItem]


class TrendingItem(BaseModel):
    """An item with more users than in the window before."""

    item: ItemSummary
    rank: int
    num_users: int
    num_users_before: int


class TrendingItemList(BaseModel):
    """Items that rise; fewer than `limit` where few do."""

    bundle_id: str
    catalogue_version: int
    warnings: list[str] = []
    window: str
    items: list[TrendingItem]


class LatestItem(BaseModel):
    """A posted item."""

    item: ItemSummary
    rank: int
    posted_at: float


class LatestItemList(BaseModel):
    """Items posted within a window, newest first."""

    bundle_id: str
    catalogue_version: int
    warnings: list[str] = []
    window: str
    items: list[LatestItem]


class ComplementItem(BaseModel):
    """An item that goes with the given ones."""

    item: ItemSummary
    rank: int
    source: Literal["behaviour", "content"]
    support: float
    lift: float | None


class BoughtTogetherList(BaseModel):
    """What goes with an item."""

    bundle_id: str
    catalogue_version: int
    warnings: list[str] = []
    item_id: str
    items: list[ComplementItem]


class ComplementList(BaseModel):
    """What goes with several items."""

    bundle_id: str
    catalogue_version: int
    warnings: list[str] = []
    ignored_item_ids: list[str]
    items: list[ComplementItem]


class DueItem(BaseModel):
    """An item that the user is due to buy again."""

    item: ItemSummary
    rank: int
    last_bought_at: float
    due_at: float
    interval_days: float
    num_intervals: int


class DueItemList(BaseModel):
    """Items that a user is due to buy again."""

    bundle_id: str
    catalogue_version: int
    warnings: list[str] = []
    user_id: str
    items: list[DueItem]


class JobSummary(BaseModel):
    """Job progress."""

    job_id: str
    kind: Literal["items", "patches", "feedback"] = "items"
    state: Literal["receiving", "waiting", "running", "done"]
    num_rows: int
    num_done: int
    num_accepted: int
    num_rejected: int
    num_duplicates: int = 0
    num_undeclared: int = 0
    undeclared_types: dict[str, int] = {}
    created_at: datetime
    finished_at: datetime | None


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobSummary]


class RejectedRow(BaseModel):
    """A rejected row, and the reason."""

    line: int
    reason: str


class JobAnswer(BaseModel):
    """Job progress, and a page of rejected rows."""

    job_id: str
    kind: Literal["items", "patches", "feedback"] = "items"
    state: Literal["receiving", "waiting", "running", "done"]
    num_rows: int
    num_done: int
    num_accepted: int
    num_rejected: int
    num_duplicates: int = 0
    num_undeclared: int = 0
    undeclared_types: dict[str, int] = {}
    created_at: datetime
    finished_at: datetime | None
    rejected: list[RejectedRow]
    next_cursor: str | None


class Token(BaseModel):
    """A token of the learned vocabulary, with the features merged into it."""

    token: int
    features: list[Feature]


class ItemDetail(BaseModel):
    """An item with its semantic id, features and tokens."""

    item_id: str
    title: str
    attributes: dict[str, str | bool | float | list[str]]
    picture_url: str | None
    origin: Literal["bundle", "posted"]
    texts: dict[str, str]
    is_retired: bool
    semantic_id: list[int]
    feature_set: list[Feature]
    tokens: list[Token]
    missing_modalities: list[str]
    bundle_id: str
    catalogue_version: int


class PatchOutcome(BaseModel):
    """The outcome for one item."""

    item_id: str
    outcome: Literal["changed", "unchanged"]


class PatchItemsAnswer(BaseModel):
    """One outcome per item, in order."""

    items: list[PatchOutcome]
    catalogue_version: int


class ItemPage(BaseModel):
    """A page of the catalogue, newest first."""

    items: list[ItemSummary]
    next_cursor: str | None


class PutItemAnswer(BaseModel):
    """An item after PUT, and the outcome."""

    item_id: str
    title: str
    attributes: dict[str, str | bool | float | list[str]]
    picture_url: str | None
    origin: Literal["bundle", "posted"]
    texts: dict[str, str]
    is_retired: bool
    semantic_id: list[int]
    feature_set: list[Feature]
    tokens: list[Token]
    missing_modalities: list[str]
    bundle_id: str
    catalogue_version: int
    outcome: Literal["created", "changed", "restored", "unchanged"]
    features_kept: bool


class KnownType(BaseModel):
    """The type of an attribute, and where it comes from."""

    type: Literal["text", "number", "boolean", "date", "list", "path"]
    is_declared: bool


class SchemaAnswer(BaseModel):
    """All known types, by name."""

    attributes: dict[str, KnownType]


class PutSchemaAnswer(BaseModel):
    """All known types, and what declaring them changed."""

    attributes: dict[str, KnownType]
    num_converted_items: int


class EventResult(BaseModel):
    """Outcome for one event."""

    event_id: str
    status: Literal["accepted", "duplicate", "forgotten"]
    is_known_item: bool


class FeedbackAnswer(BaseModel):
    """Outcomes, in the order of the events."""

    num_accepted: int
    num_duplicates: int
    num_forgotten: int
    num_unknown_items: int
    results: list[EventResult]
    warnings: list[str]


class UserSummary(BaseModel):
    """A user, and how much is known of him."""

    user_id: str
    num_events: int
    newest_at: float | None
    num_bundle_items: int


class UserPage(BaseModel):
    """A page of users: first those with events, then those of the served bundle alone."""

    users: list[UserSummary]
    next_cursor: str | None


class UserEvent(BaseModel):
    """An action of the user."""

    event_id: str
    item_id: str
    type: str
    timestamp: float
    recommendation_id: str | None
    value: float | None = None


class UserAnswer(BaseModel):
    """A page of a user's events, oldest first."""

    user_id: str
    events: list[UserEvent]
    next_cursor: str | None
    bundle_item_ids: list[str] = []


class MergeAnswer(BaseModel):
    """Outcome of a merge."""

    user_id: str
    session_id: str
    num_merged: int
    num_forgotten: int


class ExperimentArm(BaseModel):
    """One arm and its outcome."""

    arm: str
    bundle_id: str
    num_served: int
    num_shown: int
    num_hit: int
    hit_rate: float | None
    hit_rate_interval: tuple[float, float] | None


class ExperimentAnswer(BaseModel):
    """An experiment, running or ended."""

    name: str
    share: float
    is_running: bool
    is_in_settings: bool = False
    arms: list[ExperimentArm]


class ExperimentList(BaseModel):
    """The newest experiment, if any."""

    experiments: list[ExperimentAnswer]


class ServableBundle(BaseModel):
    """A bundle in the operator's folder."""

    name: str
    bundle_id: str | None
    is_serving: bool
    preset: str | None
    dataset_name: str | None
    created_at: str | None
    ndcg_at_10: float | None
    problem: str | None
    report_url: str | None


class BundleList(BaseModel):
    """Bundles that can be served."""

    bundles: list[ServableBundle]


class BundleDetail(BaseModel):
    """A bundle with all that its training measured."""

    name: str
    bundle_id: str | None
    is_serving: bool
    preset: str | None
    dataset_name: str | None
    created_at: str | None
    ndcg_at_10: float | None
    problem: str | None
    report_url: str | None
    encoders: dict[str, str]
    metrics: dict[str, Any]
    trained_on: dict[str, int] | None


class ActivatedBundle(BaseModel):
    """The bundle now in service, and the one before."""

    bundle_id: str
    previous_bundle_id: str
    catalogue_version: int


class Live(BaseModel):
    """The process is running."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The service can recommend: weights, trie and warm-up are done."""

    status: Literal["ready", "degraded"]
    bundle_id: str
    catalogue_version: int
    degraded: list[str] = []


class Search(BaseModel):
    """How far recommendations of one quality search."""

    num_views: int
    num_beams: int


class Info(BaseModel):
    """Version, settings, bundle and catalogue in service."""

    version: str
    python_version: str
    releases: dict[str, str]
    device: str
    dtype: str
    num_threads: int
    uptime_seconds: float
    settings: dict[str, int | float]
    qualities: dict[str, Search]
    bundle_id: str
    answering_bundle_ids: list[str] = []
    preset: str
    dataset_name: str
    dataset_fingerprint: str
    encoders: dict[str, str]
    metrics: dict[str, Any]
    trained_on: dict[str, int] | None
    catalogue_version: int
    num_items: int
    num_posted_items: int
    can_ingest: bool
