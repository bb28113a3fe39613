"""Users and their histories, from a data set or a service's tables, as requests that POST /recommend would make.

Interactions are read by the bundle's rules. No user or item is too rare.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.bundle_users import MAX_KEPT_ITEMS
from clairo_core.bundle.manifest import BundleManifest
from clairo_core.items import Item, UserHistory
from clairo_core.progress import Progress
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.values.ids import is_anonymous_user_id
from training.datasets import Dataset, describe_dataset, load_dataset
from training.retraining.against_serving import with_items_carried
from training.retraining.service_tables import retired_items


@dataclass(frozen=True, slots=True, eq=False)
class UserHistories:
    """Users without sessions of visitors who are not signed in. Flat arrays, which processes can share."""

    user_ids: pa.StringArray
    item_ids: tuple[str, ...]
    """By item row."""
    sequences: ItemSequences
    dislikes: ItemSequences | None

    def __len__(self) -> int:
        return len(self.user_ids)

    def ids_of(self, users: range) -> list[str]:
        """The ids of some users."""
        ids: list[str] = self.user_ids.slice(users.start, len(users)).to_pylist()
        return ids

    def requests_of(self, users: range, limit: int) -> list[RecommendationRequest]:
        """The requests for some users, as POST /recommend makes them of a user_id."""
        return [self._request_of(user, limit) for user in users]

    def _request_of(self, user: int, limit: int) -> RecommendationRequest:
        item_ids = [self.item_ids[item] for item in self.sequences[user]]
        dislikes = () if self.dislikes is None else self.dislikes[user]
        return RecommendationRequest(
            history=UserHistory(tuple(item_ids[-MAX_KEPT_ITEMS:])),
            limit=limit,
            exclude=frozenset(item_ids[:-MAX_KEPT_ITEMS]),
            disliked=frozenset(self.item_ids[item] for item in dislikes),
        )


def read_users(source: Path, manifest: BundleManifest, progress: Progress) -> Dataset:
    """Read a data set, or tables of `write_service_tables`, by the rules of a bundle.

    Raises:
        DatasetError: a table cannot be read; the text names file, row and field.
    """
    # A bundle from before rules has none to read by.
    rules = describe_dataset(source).rules if manifest.interactions is None else manifest.rules
    rules = replace(rules, min_interactions=0, unknown_items="drop")
    return load_dataset(source, rules=rules, progress=progress)


def user_histories(dataset: Dataset) -> UserHistories:
    """The users of a dataset."""
    named = [row for row, user_id in enumerate(dataset.user_ids) if not is_anonymous_user_id(user_id)]
    rows = np.array(named, dtype=np.int64)
    return UserHistories(
        pa.array([dataset.user_ids[row] for row in named], pa.string()),
        tuple(item.item_id for item in dataset.items),
        dataset.sequences.select(rows),
        None if dataset.dislikes is None else dataset.dislikes.select(rows),
    )


def recommender_of_service(bundle: Bundle, device: str, tables: Path, items: Sequence[Item]) -> Recommender:
    """The bundle's recommender with the service's catalogue: posted items added, retired ones left out.

    Args:
        bundle: the serving one.
        device: as in `choose_device`.
        tables: of `write_service_tables`.
        items: read from them.

    Raises:
        FeatureSpaceFullError: too many posted items for the free feature sets.
    """
    recommender = with_items_carried(bundle, bundle.recommender(device), items)
    catalogue = recommender.catalogue
    for item_id in retired_items(tables):
        if item_id in catalogue:
            catalogue = catalogue.without_item(item_id)
    return recommender.with_catalogue(catalogue)
