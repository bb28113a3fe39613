"""JSON of recommendations, similar items and experiments. Never passed inward.

Unknown fields are refused, not ignored.
"""

from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from clairo_core.serving_points import BALANCED, Quality
from service.schemas.items import Feature, ItemId, ItemSummary, ShownAttribute
from service.schemas.merchandising import PlacementName, RulesBody
from service.schemas.problems import Problem
from service.schemas.request_body import Identifier, RequestBody, Timestamp

MAX_HISTORY_ITEMS = 1000
EXPERIMENT_NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,40}$"
MAX_EXCLUDED_ITEMS = 1000
MAX_CANDIDATES = 1000
MAX_CURSOR_CHARACTERS = 500_000
MAX_BATCH_REQUESTS = 100
MAX_SEED = 2**31 - 1
FILTER_WARNINGS = "Attributes of a filter that no item has, and values that it compares as numbers but are not."
RULE_WARNINGS = f"{FILTER_WARNINGS} Pins that were passed by, and why. What strangers cannot get here."


class HistoryEntry(RequestBody):
    """One interaction of a user."""

    item_id: ItemId
    timestamp: Timestamp | None = Field(
        default=None, description="Seconds since 1970, or ISO 8601 with zone; sorts the entries."
    )


class RecommendBody(RulesBody):
    """A history, a user or a session, and options."""

    history: list[ItemId | HistoryEntry] | None = Field(
        default=None,
        max_length=MAX_HISTORY_ITEMS,
        description="Oldest first; in any order if every entry has a timestamp.",
    )
    user_id: Identifier | None = Field(
        default=None,
        description="Use this user's history and dislikes from POST /feedback. Beside `history`, only assigns an "
        "experiment's arm.",
    )
    session_id: Identifier | None = Field(
        default=None,
        description="As `user_id`, for a visitor who is not signed in; of no effect beside a `user_id`. A merged "
        "session is its user's.",
    )
    exclude_item_ids: list[ItemId] = Field(default=[], max_length=MAX_EXCLUDED_ITEMS, description="Items to leave out.")
    include_seen: bool = Field(default=False, description="Allow items of the history.")
    diversity: float = Field(
        default=0.0, ge=0, le=1, description="0 ranks by score; higher values prefer items unlike each other."
    )
    explain: bool = Field(default=False, description="Explain which history items led to each recommendation.")
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Same seed, same recommendations.")
    quality: Quality = Field(
        default=BALANCED,
        description="How far to search, measured with the bundle: `balanced` is as accurate as `best` in less time; "
        "`fast` may leave out the generator. /info shows each.",
    )

    candidates: list[ItemId] | None = Field(
        default=None,
        max_length=MAX_CANDIDATES,
        description="Rank exactly these items: all come back, seen and disliked ones too, on as many pages as `limit` "
        "asks for. Unknown and retired ones are listed in `unknown_item_ids`. The placement's filter and group do not "
        "apply; `filter`, `group` and `exclude_item_ids` are refused beside it.",
    )
    bundle_id: str | None = Field(
        default=None,
        max_length=256,
        description="Answer from this bundle, one of `answering_bundle_ids` of GET /info; by default the served one, "
        "or that of the user's arm. Such an answer counts in no arm of an experiment.",
    )
    placement: PlacementName | None = Field(
        default=None, description="A saved placement, whose rules apply; by default the one named `default`, if saved."
    )
    cursor: str | None = Field(
        default=None,
        max_length=MAX_CURSOR_CHARACTERS,
        description="`next_cursor` of the page before. Only `limit`, `fields` and `explain` may differ from the first "
        "page.",
    )

    @model_validator(mode="after")
    def _candidates_come_back_complete(self) -> Self:
        given = [name for name in ("filter", "group", "exclude_item_ids") if getattr(self, name)]
        if self.candidates is not None and given:
            raise ValueError(f"candidates come back complete, got {given[0]} beside them; leave one of both out")
        return self

    @model_validator(mode="after")
    def _has_history_or_user(self) -> Self:
        if self.history is None and self.user_id is None and self.session_id is None:
            raise ValueError("expected a history, [] for a new user, a user_id, or a session_id")
        return self

    @model_validator(mode="after")
    def _timestamps_on_all_or_none(self) -> Self:
        have_timestamp = {
            isinstance(entry, HistoryEntry) and entry.timestamp is not None for entry in self.history or []
        }
        if len(have_timestamp) > 1:
            raise ValueError("only some history entries have a timestamp; set it on all or none")
        return self

    def history_item_ids(self) -> tuple[str, ...] | None:
        """The history's items, oldest first; None without `history`."""
        if self.history is None:
            return None
        entries = [HistoryEntry(item_id=entry) if isinstance(entry, str) else entry for entry in self.history]
        return tuple(entry.item_id for entry in sorted(entries, key=lambda entry: entry.timestamp or 0.0))


class ExplainedBy(BaseModel):
    """A history item that led to a recommendation, and what both share."""

    item_id: str
    title: str
    effect: float | None = Field(
        description="Drop of the recommended item's log-probability if this item is left out of the history; "
        "null for the only item of a history."
    )
    shared_attributes: dict[str, ShownAttribute]
    shared_features: list[Feature] = Field(description="Codes of the semantic id that both share.")
    modality_similarity: dict[str, float | None] = Field(
        description="Cosine within each modality; null where either item lacks it."
    )


class Explanation(BaseModel):
    """Why an item is recommended."""

    text: str
    because_of: list[ExplainedBy] = Field(description="Strongest first; empty if no single item led to it.")


UNLESS_IN_FIELDS = "Null unless in `fields`."


class RecommendedItem(BaseModel):
    """One recommended item."""

    item_id: str
    rank: int = Field(description="1 is best.")
    score: float = Field(
        description="Log-probability, boosts included. Higher is better; comparable only within one answer and source."
    )
    source: str = Field(
        description="Model that scored it higher, `generative` or `dense`; `popular` fills the list. Strangers of a "
        "placement get its `popular`, `trending` or `latest`."
    )
    rules: list[str] = Field(description="Names of the boosts, group and pins that moved it.")
    title: str | None = Field(default=None, description=UNLESS_IN_FIELDS)
    attributes: dict[str, ShownAttribute] | None = Field(default=None, description=UNLESS_IN_FIELDS)
    picture_url: str | None = Field(default=None, description=f"{UNLESS_IN_FIELDS} Or the item has none.")
    explanation: Explanation | None = Field(description="Null unless requested.")


class RecommendAnswer(BaseModel):
    """Recommendations, best first."""

    recommendation_id: str = Field(description="Send it with feedback on these items.")
    bundle_id: str
    catalogue_version: int
    seed: int = Field(description="Send it to get the same answer again.")
    fallback_reason: str | None = Field(
        description="Why items are popular ones, or fewer than `limit` (`filter_exhausted`, `group_exhausted`, "
        "`catalogue_exhausted`); null otherwise."
    )
    ignored_item_ids: list[str] = Field(description="History items missing from the catalogue.")
    unknown_item_ids: list[str] = Field(default=[], description="Candidates not in the catalogue, or retired.")
    warnings: list[str] = Field(default=[], description=RULE_WARNINGS)
    items: list[RecommendedItem]
    next_cursor: str | None = Field(
        default=None,
        description="`cursor` of the next page; null if this page is the last one, or 1,000 items were listed.",
    )


class RecommendBatchBody(RequestBody):
    """Many requests in one call."""

    requests: list[dict[str, Any]] = Field(
        min_length=1, max_length=MAX_BATCH_REQUESTS, description="Bodies of POST /recommend."
    )


class BatchResult(BaseModel):
    """The recommendation for one request, or its problem; the other is null."""

    recommendation: RecommendAnswer | None = None
    problem: Problem | None = None


class RecommendBatchAnswer(BaseModel):
    """One result per request, in order."""

    results: list[BatchResult]


class SimilarItem(BaseModel):
    """A similar item."""

    item: ItemSummary
    rank: int = Field(description="1 is most similar.")
    similarity: float = Field(description="Cosine of the item embeddings.")
    modality_similarity: dict[str, float | None] = Field(
        description="Cosine within each modality; null where either item lacks it."
    )


class SimilarItems(BaseModel):
    """Items most similar by content."""

    item_id: str
    bundle_id: str
    catalogue_version: int
    warnings: list[str] = Field(default=[], description=FILTER_WARNINGS)
    items: list[SimilarItem]


class ExperimentArm(BaseModel):
    """One arm and its outcome."""

    arm: str = Field(description="`control`, the served bundle, or `treatment`.")
    bundle_id: str
    num_served: int = Field(description="Recommendations given by this process since its start.")
    num_shown: int = Field(description="Recommendations with an impression in feedback.")
    num_hit: int = Field(description="Shown recommendations with a positive event, such as a click.")
    hit_rate: float | None = Field(description="Followed share of shown recommendations; null if none was shown.")
    hit_rate_interval: tuple[float, float] | None = Field(description="95% confidence interval.")


class StartedExperiment(RequestBody):
    """An experiment to start."""

    name: str = Field(pattern=EXPERIMENT_NAME_PATTERN, description="In recommendation ids; never used before.")
    share: float = Field(ge=0, le=1, description="Share of users that the other bundle answers.")
    bundle_id: str = Field(max_length=256, description="The other bundle, as GET /bundles lists it.")


class ExperimentAnswer(BaseModel):
    """An experiment, running or ended."""

    name: str
    share: float = Field(description="Share of users in the treatment arm.")
    is_running: bool = Field(description="False once it was ended, or its bundle was activated for everybody.")
    is_in_settings: bool = Field(
        default=False, description="Whether the settings name it; calls then start and end none."
    )
    arms: list[ExperimentArm]


class ExperimentList(BaseModel):
    """The newest experiment, if any."""

    experiments: list[ExperimentAnswer]
