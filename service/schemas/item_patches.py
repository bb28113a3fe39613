"""JSON of PATCH /items: changes of items, by JSON Merge Patch (RFC 7396)."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema, model_validator

from clairo_core.values.missing import is_missing
from service.picture_urls.hosts import MAX_URL_CHARACTERS
from service.schemas.items import AttributeValue, Text, check_named_once, decoded_base64
from service.schemas.request_body import FieldName, Identifier, RequestBody
from service.store.item_patch import LEADING_TEXTS, MAX_ATTRIBUTES, MAX_TEXT_FIELDS

MAX_PATCHES = 1000


def _decoded(sent: object) -> bytes:
    if not isinstance(sent, str):
        raise ValueError("expected a picture file in base64")  # noqa: TRY004 - for Pydantic
    return decoded_base64(sent)


Picture = Annotated[bytes, PlainValidator(_decoded), WithJsonSchema({"type": "string"})]


class ItemPatchBody(RequestBody):
    """A change of an item: an absent field stays, null removes it."""

    title: Text | None = None
    description: Text | None = None
    texts: dict[FieldName, Text | None] | None = Field(
        default=None,
        max_length=MAX_TEXT_FIELDS,
        description="Further text fields, each changed by itself; null removes all of them.",
    )
    attributes: dict[FieldName, AttributeValue | None] | None = Field(
        default=None,
        max_length=MAX_ATTRIBUTES,
        description="Attributes, each changed by itself; null removes all of them.",
    )
    picture: Picture | None = Field(
        default=None, description="A JPEG, PNG or WebP file in base64; null removes the picture."
    )
    picture_url: str | None = Field(
        default=None,
        max_length=MAX_URL_CHARACTERS,
        description="https url to fetch the picture from, once; its host must be on the operator's list.",
    )

    @model_validator(mode="after")
    def _names_each_field_once(self) -> Self:
        check_named_once(self.texts or (), self.picture, self.picture_url)
        return self

    def all_texts(self) -> dict[str, str | None]:
        """All text fields that were sent, by name; None, as for a blank text, removes one."""
        leading = {name: getattr(self, name) for name in LEADING_TEXTS if name in self.model_fields_set}
        sent = leading | (self.texts or {})
        return {name: None if text is None or is_missing(text) else text for name, text in sent.items()}

    def drops(self, name: Literal["texts", "attributes"]) -> bool:
        """Whether null was sent for all of them."""
        return name in self.model_fields_set and getattr(self, name) is None


class ItemPatchEntry(ItemPatchBody):
    """A change of the item with this id."""

    item_id: Identifier


class PatchItemBody(ItemPatchBody):
    """A change of the item in the url."""

    item_id: Identifier | None = Field(default=None, description="That of the url, if at all.")


class PatchItemsBody(RequestBody):
    """Changes of items of distinct ids."""

    items: list[ItemPatchEntry] = Field(min_length=1, max_length=MAX_PATCHES)

    @model_validator(mode="after")
    def _names_each_item_once(self) -> Self:
        item_ids: set[str] = set()
        for place, entry in enumerate(self.items):
            if entry.item_id in item_ids:
                raise ValueError(f"items -> {place}: item {entry.item_id!r} stands here twice; merge its changes")
            if entry.picture_url is not None:
                raise ValueError(
                    f"items -> {place}: picture_url is for single items and jobs; "
                    "use PATCH /items/{item_id} or PATCH /items/bulk"
                )
            item_ids.add(entry.item_id)
        return self


class PatchOutcome(BaseModel):
    """The outcome for one item."""

    item_id: str
    outcome: Literal["changed", "unchanged"]


class PatchItemsAnswer(BaseModel):
    """One outcome per item, in order."""

    items: list[PatchOutcome]
    catalogue_version: int
