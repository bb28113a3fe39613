"""Users and their histories, from a data set or a service's tables, as requests that POST /recommend would make.

Interactions are read by the bundle's rules. No user or item is too rare.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.bundle_users import MAX_KEPT_ITEMS
from clairo_core.items import UserHistory
from clairo_core.progress import Progress
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.values.ids import is_anonymous_user_id
from training.datasets import Dataset, describe_dataset, load_dataset
from training.retraining.against_serving import with_items_carried
from training.retraining.service_tables import retired_items


@dataclass(frozen=True, slots=True, eq=False)
class UserHistories:
    """The users of a dataset, without sessions of visitors who are not signed in."""

    dataset: Dataset
    rows: tuple[int, ...]
    """The dataset's rows of these users."""

    def user_id_of(self, number: int) -> str:
        """The id of one of the users."""
        return self.dataset.user_ids[self.rows[number]]

    def request_of(self, number: int, limit: int) -> RecommendationRequest:
        """The request for one of the users, as POST /recommend makes it of a user_id."""
        row, items = self.rows[number], self.dataset.items
        item_ids = [items[item].item_id for item in self.dataset.sequences[row]]
        dislikes = () if self.dataset.dislikes is None else self.dataset.dislikes[row]
        return RecommendationRequest(
            history=UserHistory(tuple(item_ids[-MAX_KEPT_ITEMS:])),
            limit=limit,
            exclude=frozenset(item_ids[:-MAX_KEPT_ITEMS]),
            disliked=frozenset(items[item].item_id for item in dislikes),
        )


def read_user_histories(source: Path, bundle: Bundle, progress: Progress) -> UserHistories:
    """Read a data set, or tables of `write_service_tables`.

    Raises:
        DatasetError: a table cannot be read; the text names file, row and field.
    """
    manifest = bundle.manifest
    # A bundle from before rules has none to read by.
    rules = describe_dataset(source).rules if manifest.interactions is None else manifest.rules
    rules = replace(rules, min_interactions=0, unknown_items="drop")
    dataset = load_dataset(source, rules=rules, progress=progress)
    named = (row for row, user_id in enumerate(dataset.user_ids) if not is_anonymous_user_id(user_id))
    return UserHistories(dataset, tuple(named))


def recommender_of_service(bundle: Bundle, device: str, tables: Path, dataset: Dataset) -> Recommender:
    """The bundle's recommender with the service's catalogue: posted items added, retired ones left out.

    Args:
        bundle: the serving one.
        device: as in `choose_device`.
        tables: of `write_service_tables`.
        dataset: read from them.

    Raises:
        FeatureSpaceFullError: too many posted items for the free feature sets.
    """
    recommender = with_items_carried(bundle, bundle.recommender(device), dataset.items)
    catalogue = recommender.catalogue
    for item_id in retired_items(tables):
        if item_id in catalogue:
            catalogue = catalogue.without_item(item_id)
    return recommender.with_catalogue(catalogue)
