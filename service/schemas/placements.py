"""JSON of placements: rules that the service keeps for a place in the shop."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, PlainSerializer, model_validator

from service.recommend.wanted import POPULAR_FOR_STRANGERS, Strangers
from service.schemas.merchandising import RulesBody
from service.schemas.recommend import RecommendAnswer, RecommendBody
from service.schemas.request_body import RequestBody


class PlacementBody(RulesBody):
    """Rules of a placement."""

    strangers: Strangers = Field(
        default=POPULAR_FOR_STRANGERS,
        description="What a history without known items gets: popular items, those trending within a week, or "
        "those posted within a week, followed by popular ones.",
    )

    def as_sent(self) -> dict[str, Any]:
        """The JSON of this body, without fields that were left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class PlacementAnswer(BaseModel):
    """A saved placement."""

    name: str
    version: int = Field(description="Counts up from 1 with each PUT and DELETE.")
    saved_at: datetime
    rules: Annotated[PlacementBody, PlainSerializer(PlacementBody.as_sent)] = Field(
        description="The body that was PUT, without fields that were left out."
    )


class PlacementList(BaseModel):
    """All saved placements, by name."""

    placements: list[PlacementAnswer]


class PreviewBody(RequestBody):
    """A draft, and a request to try it on."""

    rules: PlacementBody = Field(description="The body that PUT would save.")
    request: RecommendBody = Field(description="A body of POST /recommend, without `placement` and `cursor`.")

    @model_validator(mode="after")
    def _tries_the_draft_alone(self) -> Self:
        for name in ("placement", "cursor"):
            if getattr(self.request, name) is not None:
                raise ValueError(f"request has a {name}; leave it out, since the draft is tried on a first page")
        return self


class PreviewAnswer(BaseModel):
    """The same request under the saved placement and under the draft. Nothing was saved."""

    before: RecommendAnswer = Field(description="As saved now; without any placement if it is not saved.")
    after: RecommendAnswer = Field(description="Under the draft.")
