"""JSON for operators: health, what is served, and bundles."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class Live(BaseModel):
    """The process is running."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The service can recommend: weights, trie and warm-up are done."""

    status: Literal["ready", "degraded"] = Field(description="The service can recommend in both states.")
    bundle_id: str
    catalogue_version: int
    degraded: list[str] = Field(default=[], description="Parts that are unavailable, and the effect of each.")


class Search(BaseModel):
    """How far recommendations of one quality search."""

    num_views: int = Field(description="Random views per history; 0 leaves the generator out.")
    num_beams: int = Field(description="Beams per view.")


class Info(BaseModel):
    """Version, settings, bundle and catalogue in service."""

    version: str
    python_version: str
    releases: dict[str, str] = Field(description="Versions of the libraries that affect answers.")
    device: str = Field(description="Device of the generator.")
    dtype: str = Field(description="Number format of the generator.")
    num_threads: int = Field(description="CPU threads that this process computes with.")
    uptime_seconds: float
    settings: dict[str, int | float] = Field(description="Settings, except addresses, paths and secrets.")
    qualities: dict[str, Search] = Field(description="The search behind each `quality` of POST /recommend.")
    bundle_id: str
    answering_bundle_ids: list[str] = Field(
        default=[], description="Bundles that `bundle_id` of POST /recommend may name: this one, and an experiment's."
    )
    preset: str
    dataset_name: str
    dataset_fingerprint: str
    encoders: dict[str, str]
    metrics: dict[str, Any]
    trained_on: dict[str, int] | None = Field(
        description="Interactions learned from when measured and as served; null for bundles of older releases."
    )
    catalogue_version: int
    num_items: int = Field(description="Recommendable items.")
    num_posted_items: int
    can_ingest: bool = Field(description="Whether the bundle has encoders, which POST /items needs.")


class ServableBundle(BaseModel):
    """A bundle in the operator's folder."""

    name: str = Field(description="Name of its folder.")
    bundle_id: str | None = Field(description="null if the manifest cannot be read.")
    is_serving: bool
    preset: str | None
    dataset_name: str | None
    created_at: str | None = Field(description="ISO 8601, UTC.")
    ndcg_at_10: float | None = Field(description="Measured at training; decides between bundles with the same targets.")
    problem: str | None = Field(description="Why it cannot be served, judged by the manifest alone.")
    report_url: str | None = Field(description="Page of `clairo-train report` about it; null without one.")


class BundleList(BaseModel):
    """Bundles that can be served."""

    bundles: list[ServableBundle]


class BundleDetail(ServableBundle):
    """A bundle with all that its training measured."""

    encoders: dict[str, str] = Field(description="By modality.")
    metrics: dict[str, Any] = Field(description="Of the manifest, as in GET /info.")
    trained_on: dict[str, int] | None = Field(description="As in GET /info.")


class ActivatedBundle(BaseModel):
    """The bundle now in service, and the one before."""

    bundle_id: str
    previous_bundle_id: str = Field(description="Served until now.")
    catalogue_version: int
