"""The JSON that clients send and get: field names, limits, examples. Never passed inward.

Unknown fields are refused, not ignored: a client that asks for what this version cannot do yet is told so.
"""

import base64
import binascii
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from service.picture_urls.hosts import MAX_URL_CHARACTERS

MAX_PAGE_ITEMS = 200
MAX_ITEM_ID_CHARACTERS = 256
MAX_TEXT_CHARACTERS = 20_000
MAX_TEXT_FIELDS = 20
MAX_ATTRIBUTES = 50

# Paths under /items/{item_id}/ that mean something themselves.
RESERVED_LAST_SEGMENTS = frozenset({"picture", "similar"})
# Paths under /items/ that mean something themselves.
RESERVED_ITEM_IDS = frozenset({"bulk"})
_CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f"
PLAIN_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
CONTROL_CHARACTERS = re.compile(f"[{_CONTROL}]")
TEXT_SCHEMA: dict[str, JsonValue] = {"pattern": f"^[^{_CONTROL}]*$"}
"""What `check_text` lets pass, as the OpenAPI document says it."""
TEXT_FIELD = Field(json_schema_extra=TEXT_SCHEMA)


def check_new_item_id(item_id: str) -> str:
    """An id that can stand in a url's path: printable, no segment that a client or proxy would rewrite.

    >>> check_new_item_id("mugs/blue 12")
    'mugs/blue 12'
    """
    if not item_id.isprintable():
        raise ValueError("an item_id has printable characters only: no control characters, no line breaks")
    if item_id != item_id.strip():
        raise ValueError("an item_id neither begins nor ends with a space")
    segments = item_id.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError("an item_id has no empty, '.' or '..' part between slashes: urls could not name it")
    if len(segments) > 1 and segments[-1] in RESERVED_LAST_SEGMENTS:
        raise ValueError(f"an item_id does not end in /{segments[-1]}: that is another call's path")
    if item_id in RESERVED_ITEM_IDS:
        raise ValueError(f"no item has the item_id {item_id!r}: /items/{item_id} is another call's path")
    return item_id


def check_text(text: str) -> str:
    """Words without control characters, which no reader means and not every database can hold."""
    if CONTROL_CHARACTERS.search(text):
        raise ValueError("text has no control characters besides tabs and line breaks")
    return text


ItemId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ITEM_ID_CHARACTERS)]
NewItemId = Annotated[ItemId, AfterValidator(check_new_item_id)]
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(check_text), TEXT_FIELD]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARACTERS), AfterValidator(check_text), TEXT_FIELD]
AttributeValue = Annotated[str, StringConstraints(max_length=1000), AfterValidator(check_text), TEXT_FIELD]


def check_plain_integer(number: object) -> object:
    """A number in a url as people and JSON write it, 10: not 10.0, +10 or 1_0, which would be taken as well.

    >>> check_plain_integer("10")
    '10'
    """
    if isinstance(number, str) and not PLAIN_INTEGER.fullmatch(number):
        raise ValueError("expected an integer in decimal digits, such as 10")
    return number


QueryInteger = Annotated[int, BeforeValidator(check_plain_integer)]


class RequestBody(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class NewItemBody(RequestBody):
    """A product to add: words, a picture, or both."""

    item_id: NewItemId
    title: Text = ""
    description: Text = ""
    texts: dict[FieldName, Text] = Field(
        default={}, max_length=MAX_TEXT_FIELDS, description="Further text fields, read after title and description."
    )
    attributes: dict[FieldName, AttributeValue] = Field(
        default={}, max_length=MAX_ATTRIBUTES, description="Shown, never read by an encoder: brand, price."
    )
    picture: str | None = Field(default=None, description="A JPEG, PNG or WebP file in base64.")
    picture_url: str | None = Field(
        default=None,
        max_length=MAX_URL_CHARACTERS,
        description="Where the picture can be fetched, instead of `picture`: https, on a host that the service's "
        "operator lists, and not by redirect. Fetched once, now.",
    )

    def all_texts(self) -> dict[str, str]:
        """Every text field that says something, in reading order."""
        fields = {"title": self.title, "description": self.description, **self.texts}
        return {name: text for name, text in fields.items() if text.strip()}

    @model_validator(mode="after")
    def _has_one_picture(self) -> Self:
        if self.picture is not None and self.picture_url is not None:
            raise ValueError("give picture or picture_url, not both")
        return self

    @model_validator(mode="after")
    def _names_each_text_once(self) -> Self:
        if repeated := {"title", "description"} & self.texts.keys():
            raise ValueError(f"{min(repeated)} stands beside texts, not in it")
        return self


def decoded_base64(text: str) -> bytes:
    """The bytes that a base64 text stands for.

    Raises:
        ValueError: it is no base64.
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
    """A token of the learned vocabulary and the features that merged into it."""

    token: int
    features: list[Feature]


class ItemSummary(BaseModel):
    """An item as lists show it."""

    item_id: str
    title: str
    attributes: dict[str, str]
    picture_url: str | None
    origin: Literal["bundle", "posted"]


class ItemDetail(ItemSummary):
    """An item, and how the bundle sees it."""

    texts: dict[str, str]
    is_retired: bool
    semantic_id: list[int]
    feature_set: list[Feature]
    tokens: list[Token] = Field(description="Its canonical tokens: what the generator writes to recommend it.")
    missing_modalities: list[str] = Field(description="What it came without; the training mean stands in.")
    bundle_id: str
    catalogue_version: int


class PutItemAnswer(ItemDetail):
    """An item, and what putting it did."""

    outcome: Literal["created", "changed", "restored", "unchanged"]
    features_kept: bool = Field(description="Whether it has the features that it had before; false for a new one.")


class ItemPage(BaseModel):
    """Some of the catalogue, newest first."""

    items: list[ItemSummary]
    next_cursor: str | None = Field(description="Give it as `cursor` to get what follows; null at the end.")


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """Weights, trie and warm-up are done."""

    status: Literal["ready", "degraded"] = Field(description="Both can recommend.")
    bundle_id: str
    catalogue_version: int
    degraded: list[str] = Field(default=[], description="What is missing, and what that means.")


class Info(BaseModel):
    """What is being served."""

    version: str
    python_version: str
    releases: dict[str, str] = Field(description="Of the libraries that answers depend on.")
    device: str = Field(description="Where the generator runs.")
    dtype: str = Field(description="Numbers of the generator.")
    num_threads: int = Field(description="That this process computes with on a CPU.")
    uptime_seconds: float
    settings: dict[str, int | float] = Field(description="Those that name no address, path or secret.")
    bundle_id: str
    preset: str
    dataset_name: str
    dataset_fingerprint: str
    encoders: dict[str, str]
    metrics: dict[str, Any]
    catalogue_version: int
    num_items: int = Field(description="Items that can be recommended.")
    num_posted_items: int
    can_ingest: bool = Field(description="Whether POST /items works: the bundle has encoders.")


class ServableBundle(BaseModel):
    """A bundle in the operator's folder."""

    name: str = Field(description="Its folder.")
    bundle_id: str | None = Field(description="null if its manifest cannot be read.")
    is_serving: bool
    preset: str | None
    dataset_name: str | None
    created_at: str | None = Field(description="ISO 8601, UTC.")
    ndcg_at_10: float | None = Field(description="As its own evaluation measured it; decides whether it is worse.")
    problem: str | None = Field(description="Why it cannot be served, as far as its manifest tells.")


class BundleList(BaseModel):
    """What can be served."""

    bundles: list[ServableBundle]


class ActivatedBundle(BaseModel):
    """What is served now, and what was until now."""

    bundle_id: str
    previous_bundle_id: str = Field(description="Activate it to go back.")
    catalogue_version: int


class FieldError(BaseModel):
    """One wrong field."""

    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldError] | None = None
