"""The names that shops give to columns, and the weights of types of events, by meaning. Read no file."""

import re
from collections.abc import Iterable, Mapping, Sequence

ITEM_IDS = (
    "item_id",
    "product_id",
    "sku",
    "id",
    "handle",
    "asin",
    "parent_asin",
    "movie_id",
    "business_id",
    "article_id",
    "artikelnummer",
    "artikel_nr",
    "artikel_id",
    "product",
    "item",
    "product_code",
    "code",
    "gtin",
    "ean",
)
TITLES = ("title", "name", "product_name", "product_title", "item_name", "bezeichnung", "titel", "produktname")
DESCRIPTIONS = (
    "short_description",
    "description",
    "body_html",
    "body",
    "beschreibung",
    "kurzbeschreibung",
    "details",
    "features",
    "summary",
    "overview",
    "story",
    "text",
)
ATTRIBUTES = (
    "category",
    "categories",
    "product_category",
    "google_product_category",
    "product_type",
    "type",
    "kind",
    "department",
    "collection",
    "warengruppe",
    "kategorie",
    "genre",
    "genres",
    "brand",
    "vendor",
    "manufacturer",
    "marke",
    "hersteller",
    "price",
    "sale_price",
    "regular_price",
    "variant_price",
    "preis",
    "color",
    "colour",
    "farbe",
    "size",
    "material",
    "gender",
    "age_group",
    "condition",
    "availability",
    "status",
    "tags",
    "year",
    "language",
)
PICTURES = (
    "image_link",
    "image_src",
    "image_url",
    "image",
    "images",
    "image_path",
    "picture",
    "picture_url",
    "photo",
    "thumbnail",
    "poster",
    "img",
    "bild",
    "foto",
)
USERS = (
    "user_id",
    "user",
    "customer_id",
    "customer",
    "customer_email",
    "email",
    "email_billing",
    "billing_email",
    "email_address",
    "kundennummer",
    "kunden_nr",
    "kunden_id",
    "kunde",
    "nutzer_id",
    "nutzer",
    "visitor_id",
    "visitor",
    "user_pseudo_id",
    "client_id",
    "member_id",
    "account_id",
    "buyer",
    "reviewerid",
    "session_id",
)
TIMES = (
    "timestamp",
    "event_timestamp",
    "event_time",
    "created_at",
    "order_date",
    "ordered_at",
    "purchased_at",
    "purchase_date",
    "datetime",
    "bestelldatum",
    "unixreviewtime",
    "time",
    "ts",
    "date",
    "datum",
    "zeitstempel",
    "zeitpunkt",
    "zeit",
    "at",
)
_TIME_ENDINGS = ("_at", "_time", "_date", "_timestamp", "datum")
_ID_ENDINGS = ("_id", "_sku", "_nr", "_no", "_number", "_code", "_key", "_nummer")
ORDERS = (
    "order_id",
    "order_number",
    "order_no",
    "order_name",
    "order",
    "transaction_id",
    "invoice_number",
    "invoice_no",
    "bestellnummer",
    "bestell_nr",
    "bestellung",
    "auftragsnummer",
    "auftrags_nr",
    "rechnungsnummer",
)
POSITIONS = ("position", "order", "sequence", "index")
TYPES = (
    "event_type",
    "event_name",
    "event",
    "type",
    "action",
    "behavior",
    "behaviour",
    "interaction",
    "kind",
    "ereignistyp",
    "ereignis",
    "aktion",
)
RATINGS = ("rating", "stars", "score", "overall", "bewertung")

_WEIGHTS: tuple[tuple[str, float | str], ...] = (
    (r"dislike|downvote|thumbs?_down", "negative"),
    (r"return|refund|cancel|storn|retour|remove", "negative"),
    (r"impression|shown|view_item_list|view_promotion", "impression"),
    (r"page_view|scroll|session|first_visit|search|shipping|payment", "ignored"),
    (r"purchas|order|buy|bought|transaction|sale|kauf|bestell", 1.0),
    (r"cart|basket|checkout|warenkorb|wish|favou?rite|like|save|follow", 0.5),
    (r"view|click|detail|visit|select|open|play|watch|ansicht", 0.2),
)
"""The first that fits decides; an event beside them is ignored."""


def plain(name: str) -> str:
    """A column's name in lower case, its words joined by underscores.

    >>> plain("Body (HTML)"), plain("Email (Billing)"), plain("g:image_link")
    ('body_html', 'email_billing', 'image_link')
    """
    return re.sub(r"\W+|_+", "_", name.lower().removeprefix("g:")).strip("_")


def best_column(columns: Iterable[str], words: Sequence[str]) -> str | None:
    """The column whose name comes first in `words`; None if none does.

    >>> best_column(["qty", "E-Mail"], USERS), best_column(["ProductID", "title"], ITEM_IDS)
    ('E-Mail', 'ProductID')
    """
    return next(iter(matching_columns(columns, words)), None)


def matching_columns(columns: Iterable[str], words: Sequence[str]) -> tuple[str, ...]:
    """All columns with a name in `words`, in the order of `words`."""
    places = {_joined(word): place for place, word in enumerate(words)}
    named = [column for column in columns if _joined(column) in places]
    return tuple(sorted(named, key=lambda column: places[_joined(column)]))


def time_column(columns: Sequence[str]) -> str | None:
    """The column of times: by a known name, else the first with the ending of one.

    >>> time_column(["shipped_at", "date"]), time_column(["qty", "paid_at"]), time_column(["price_format"])
    ('date', 'paid_at', None)
    """
    ending = (column for column in columns if plain(column).endswith(_TIME_ENDINGS))
    return best_column(columns, TIMES) or next(ending, None)


def id_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Columns named as a number or code of something other than a user, by known names of items first.

    >>> id_columns(["book_id", "title", "sku", "user_id", "paid"])
    ('sku', 'book_id')
    """
    columns = list(columns)
    known = matching_columns(columns, ITEM_IDS)
    users = matching_columns(columns, USERS)
    ending = [column for column in columns if plain(column).endswith(_ID_ENDINGS) and column not in users]
    return (*known, *(column for column in ending if column not in known))


def weight_of(event: str) -> float | str:
    """Weight or meaning of a type of events, by its name.

    >>> weight_of("purchase"), weight_of("add_to_cart"), weight_of("view_item"), weight_of("refund")
    (1.0, 0.5, 0.2, 'negative')
    """
    name = plain(event)
    return next((weight for pattern, weight in _WEIGHTS if re.search(pattern, name)), "ignored")


def weights_of(events: Iterable[str]) -> Mapping[str, float | str]:
    """Weights of types, the heaviest first, then those that are not positive."""
    weights = {event: weight_of(event) for event in events}
    return dict(sorted(weights.items(), key=lambda one: (isinstance(one[1], str), -_number(one[1]), one[0])))


def _joined(name: str) -> str:
    """A name without what separates its words: shops write userid, user_id and User-ID."""
    return plain(name).replace("_", "")


def _number(weight: float | str) -> float:
    return 0.0 if isinstance(weight, str) else weight
