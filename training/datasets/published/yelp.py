"""Describe Yelp's academic data set as published: yelp_academic_dataset_business.json and ..._review.json.

Every review counts alike, a user's first review of a business counts, and the iterative 5-core is taken. The works that
use it often keep a span of years; we keep all. Conditions of `[events]` may read `stars`. Pictures are read from
`images/BUSINESS_ID.jpg`.
"""

from pathlib import Path

from clairo_core.errors import DatasetError
from clairo_core.events import InteractionRules
from clairo_core.progress import Progress
from training.datasets.description import DatasetDescription, InteractionsDescription, ItemsDescription
from training.datasets.published.published_tables import Records, RecordsTable, pictures_by_id
from training.datasets.tables.json_lines import json_records

RULES = InteractionRules(repeats="drop", min_interactions=5, unknown_items="drop")
_FIELDS = ("name", "categories", "city", "state")
_COLUMNS = ("business_id", *_FIELDS, "category", "picture")


def describe_yelp(folder: Path) -> DatasetDescription | None:
    """Describe the folder; None without yelp_academic_dataset_review.json.

    Raises:
        DatasetError: yelp_academic_dataset_business.json is missing.
    """
    reviews, businesses = (folder / f"yelp_academic_dataset_{name}.json" for name in ("review", "business"))
    if not reviews.is_file():
        return None
    if not businesses.is_file():
        raise DatasetError(f"{businesses} does not exist, expected it beside {reviews.name}; unpack the whole archive")
    return DatasetDescription(
        name="yelp",
        items=ItemsDescription(
            file=RecordsTable(businesses, _COLUMNS, _businesses),
            item_id="business_id",
            texts=("name", "categories", "city"),
            attributes=("category", "city", "state"),
            picture="picture",
            picture_folder=folder,
        ),
        interactions=(
            InteractionsDescription(file=reviews, user_id="user_id", item_id="business_id", order="date", is_time=True),
        ),
        rules=RULES,
    )


def _businesses(path: Path, progress: Progress) -> Records:
    pictures = pictures_by_id(path.parent / "images")
    for number, business in json_records(path, progress):
        business_id = business.get("business_id")
        fields = {name: value if isinstance(value := business.get(name), str) else None for name in _FIELDS}
        picture = pictures.get(str(business_id))
        yield (
            number,
            fields
            | {
                "business_id": business_id if isinstance(business_id, str) else None,
                "category": (fields["categories"] or "").split(",")[0].strip() or None,
                "picture": None if picture is None else f"images/{picture.name}",
            },
        )
