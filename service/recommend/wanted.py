"""The request form inside the service, made once from the JSON of POST /recommend."""

from dataclasses import dataclass

from clairo_core.items import UserHistory
from clairo_core.selection.item_filters import ItemFilter
from clairo_core.serving_points import BALANCED, Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One request for recommendations."""

    history: UserHistory
    limit: int
    include_seen: bool = False
    exclude: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    """Never recommended, and items like them sink."""
    item_filter: ItemFilter | None = None
    diversity: float = 0.0
    explain: bool = False
    seed: int = 0
    quality: Quality = BALANCED
