"""JSON of items: bodies of POST and PUT /items, and answers with items in them."""

import base64
import binascii
from collections.abc import Collection
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    JsonValue,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from clairo_core.attributes import as_type, type_of
from clairo_core.values.ids import MAX_ID_CHARACTERS, check_item_id, check_text
from clairo_core.values.missing import is_missing
from service.picture_urls.hosts import MAX_URL_CHARACTERS
from service.schemas.request_body import TEXT_FIELD, TEXT_SCHEMA, FieldName, RequestBody, check_named_text
from service.store.item_patch import LEADING_TEXTS, MAX_ATTRIBUTES, MAX_TEXT_FIELDS

MAX_PAGE_ITEMS = 200
MAX_TEXT_CHARACTERS = 20_000

ItemId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS)]
NewItemId = Annotated[ItemId, AfterValidator(check_item_id)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARACTERS), AfterValidator(check_named_text), TEXT_FIELD]
MAX_LIST_VALUES = 100
MAX_ATTRIBUTE_CHARACTERS = 1000


def _check_attribute(sent: object) -> str | bool | float | list[str]:
    for text in sent if isinstance(sent, list) else [sent]:
        if isinstance(text, str) and len(check_text(text)) > MAX_ATTRIBUTE_CHARACTERS:
            raise ValueError(f"got {len(text)} characters, expected at most {MAX_ATTRIBUTE_CHARACTERS}")
    if isinstance(sent, list) and len(sent) > MAX_LIST_VALUES:
        raise ValueError(f"got {len(sent)} values, expected at most {MAX_LIST_VALUES}")
    if not isinstance(sent, str | bool | int | float | list):
        raise ValueError("expected text, a number, true, false or a list of texts")  # noqa: TRY004 - for Pydantic
    value = as_type(sent, type_of(sent))
    return list(value) if isinstance(value, tuple) else value


_TEXT_SCHEMA: dict[str, JsonValue] = {"type": "string", "maxLength": MAX_ATTRIBUTE_CHARACTERS, **TEXT_SCHEMA}
AttributeValue = Annotated[
    str | bool | float | list[str],
    PlainValidator(_check_attribute),
    WithJsonSchema(
        {
            "anyOf": [
                _TEXT_SCHEMA,
                {"type": "number"},
                {"type": "boolean"},
                {"type": "array", "items": _TEXT_SCHEMA, "maxItems": MAX_LIST_VALUES},
            ]
        }
    ),
]
"""Text (a date and a category path too), number, boolean or list of texts."""
ShownAttribute: TypeAlias = str | bool | float | list[str]
"""In an answer: a bundle's values may be longer than posted ones."""


class NewItemBody(RequestBody):
    """A product to add: words, a picture, or both."""

    item_id: NewItemId
    title: Text = ""
    description: Text = ""
    texts: dict[FieldName, Text] = Field(
        default={}, max_length=MAX_TEXT_FIELDS, description="Further text fields, encoded after title and description."
    )
    attributes: dict[FieldName, AttributeValue] = Field(
        default={}, max_length=MAX_ATTRIBUTES, description="Brand, price, ...: shown and filtered by, never encoded."
    )
    picture: str | None = Field(default=None, description="A JPEG, PNG or WebP file in base64.")
    picture_url: str | None = Field(
        default=None,
        max_length=MAX_URL_CHARACTERS,
        description="https url to fetch the picture from, once, instead of `picture`. Its host must be on the "
        "operator's list. Redirects are not followed.",
    )

    def all_texts(self) -> dict[str, str]:
        """All text fields that are not missing, in the order in which they are encoded."""
        fields = {"title": self.title, "description": self.description, **self.texts}
        return {name: text for name, text in fields.items() if not is_missing(text)}

    @model_validator(mode="after")
    def _names_each_field_once(self) -> Self:
        check_named_once(self.texts, self.picture, self.picture_url)
        return self


def check_named_once(texts: Collection[str], picture: str | bytes | None, picture_url: str | None) -> None:
    """Refuse a picture that comes twice, and a title or description among the further texts.

    Raises:
        ValueError: there is one.
    """
    if picture is not None and picture_url is not None:
        raise ValueError("got picture and picture_url; give one, not both")
    if repeated := {*LEADING_TEXTS}.intersection(texts):
        raise ValueError(f"texts has {min(repeated)}; give {min(repeated)} as a field of its own")


def decoded_base64(text: str) -> bytes:
    """Decode base64.

    Raises:
        ValueError: the text is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64 ({error}); send the file's bytes in base64, without a data: prefix") from error


class Feature(BaseModel):
    """A value of one category."""

    category: str
    value: int


class Token(BaseModel):
    """A token of the learned vocabulary, with the features merged into it."""

    token: int
    features: list[Feature]


class ItemSummary(BaseModel):
    """An item in a list."""

    item_id: str
    title: str
    attributes: dict[str, ShownAttribute]
    picture_url: str | None
    origin: Literal["bundle", "posted"]


class ItemDetail(ItemSummary):
    """An item with its semantic id, features and tokens."""

    texts: dict[str, str]
    is_retired: bool
    semantic_id: list[int]
    feature_set: list[Feature]
    tokens: list[Token] = Field(description="Canonical tokens: the generator outputs them to recommend the item.")
    missing_modalities: list[str] = Field(description="Modalities that the training mean stands in for.")
    bundle_id: str
    catalogue_version: int


class PutItemAnswer(ItemDetail):
    """An item after PUT, and the outcome."""

    outcome: Literal["created", "changed", "restored", "unchanged"]
    features_kept: bool = Field(description="Whether feature set and tokens are as before; false for a new item.")


class ItemPage(BaseModel):
    """A page of the catalogue, newest first."""

    items: list[ItemSummary]
    next_cursor: str | None = Field(description="`cursor` of the next page; null at the end.")
