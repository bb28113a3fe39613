"""Compare the new bundle with the serving one on the newest interactions. Start at `compare_with_serving`.

Both predict the next item of the same users, after the same histories, by item id, among the same items, with seen
items masked as in the service. Held out is each user's newest interaction, for users whose newest one came after the
serving bundle was made: neither bundle has learned from it.

Items posted since the serving bundle was trained are added to its catalogue, as in the running service. A target that
it cannot rank, because it has no encoders, is a miss and stays in the mean. Without such misses, the serving bundle
would profit from every item that it does not know. Items that it cannot rank take no place of its list either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np

from clairo_core.bundle.bundle import Bundle
from clairo_core.items import Item, described_digest, picture_digest
from clairo_core.progress import Progress
from clairo_core.recommender import Recommender
from training.datasets import Dataset
from training.evaluation.metrics import Metric, ndcg_at, paired_difference
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import EvaluationSplit, some_users, test_split

LIST_LENGTH = 10
ITEMS_AT_ONCE = 256
"""Bounds the decoded pictures in memory."""


@dataclass(frozen=True, slots=True)
class AgainstServing:
    """NDCG@10 of both on the newest interactions. `clairo-serve` reads it on activation of the bundle."""

    serving_bundle_id: str
    num_users: int
    ndcg_at_10: float | None
    """None without interactions since the serving bundle was made."""
    serving_ndcg_at_10: float | None
    difference: Metric | None
    """New minus serving, paired by user."""
    num_unknown_to_serving: int
    """Targets that the serving bundle cannot rank, counted as its misses."""

    @property
    def is_not_worse(self) -> bool:
        """Whether the new bundle was measured and is at least as good."""
        return (
            self.ndcg_at_10 is not None
            and self.serving_ndcg_at_10 is not None
            and self.ndcg_at_10 >= self.serving_ndcg_at_10
        )

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        if self.ndcg_at_10 is None or self.serving_ndcg_at_10 is None or self.difference is None:
            return (
                f"no user with three interactions has interacted since bundle {self.serving_bundle_id} was made: "
                "nothing to measure on that neither bundle has learned from"
            )
        text = (
            f"newest interactions of {self.num_users:,} users: NDCG@10 {self.ndcg_at_10:.4f}, serving bundle "
            f"{self.serving_bundle_id} {self.serving_ndcg_at_10:.4f} (difference {self.difference.value:+.4f}, paired "
            f"bootstrap {self.difference.low:+.4f} to {self.difference.high:+.4f})"
        )
        unknown = self.num_unknown_to_serving
        return f"{text}; {unknown:,} of them the serving bundle cannot rank" if unknown else text


def compare_with_serving(
    candidate: Recommender,
    serving: Bundle,
    serving_recommender: Recommender,
    dataset: Dataset,
    newest_at: Mapping[str, float],
    *,
    max_users: int,
    num_resamples: int,
    seed: int,
    progress: Progress[int],
) -> AgainstServing:
    """Measure both bundles.

    Args:
        candidate: the new bundle's, with every item of the dataset.
        serving: the serving bundle.
        serving_recommender: the serving bundle's, with posted items added by `with_items_carried`.
        dataset: the candidate's, whose newest interactions are held out.
        newest_at: user id -> time of the newest interaction, in seconds since 1970.
        max_users: size of a seeded sample; 0 takes all.
        num_resamples: of the bootstrap interval.
        seed: of the sample.
        progress: over users, for both rankings.
    """
    made_at = datetime.fromisoformat(serving.manifest.created_at).timestamp()
    split = some_users(newest_split(dataset, newest_at, made_at), max_users, seed)
    num_users = len(split.targets)
    if not num_users:
        return AgainstServing(serving.manifest.bundle_id, 0, None, None, None, 0)
    item_ids = [item.item_id for item in dataset.items]

    def ndcgs(recommender: Recommender, label: str) -> np.ndarray:
        ranks, _ = generated_ranks(recommender, item_ids, split, False, label, progress, list_length=LIST_LENGTH)
        return ndcg_at(ranks, LIST_LENGTH)

    ours, theirs = ndcgs(candidate, "newest, new bundle"), ndcgs(serving_recommender, "newest, serving bundle")
    return AgainstServing(
        serving.manifest.bundle_id,
        num_users,
        float(ours.mean()),
        float(theirs.mean()),
        paired_difference(ours, theirs, num_resamples),
        sum(item_ids[target] not in serving_recommender.catalogue for target in split.targets),
    )


def newest_split(dataset: Dataset, newest_at: Mapping[str, float], made_at: float) -> EvaluationSplit:
    """The test split, limited to users whose newest interaction came after `made_at`."""
    split = test_split(dataset)
    is_newer = [newest_at.get(dataset.user_ids[row], made_at) > made_at for row in split.user_rows]
    chosen = np.flatnonzero(is_newer)
    return EvaluationSplit(split.histories.select(chosen), split.targets[chosen], split.user_rows[chosen])


def with_items_carried(bundle: Bundle, recommender: Recommender, items: Sequence[Item]) -> Recommender:
    """Add unknown items to the bundle's recommender, described by its own encoders, in the order of `items`.

    Known items with other content move, as in the running service.

    A bundle without encoders stays as it is.

    Raises:
        FeatureSpaceFullError: too many unknown items for the free feature sets.
    """
    missing = [item for item in items if recommender.catalogue.find_row(item.item_id) is None]
    if not bundle.can_ingest:
        return recommender
    moved = {}
    for item in items:
        row = bundle.catalogue.find_row(item.item_id)
        if row is None or bundle.has_content(row, described_digest(item.texts, picture_digest(item.read_picture()))):
            continue
        vector = bundle.dense_vector(row, bundle.moved_embedding(row, item)[0])
        if vector is not None:
            moved[row] = vector
    if moved:
        recommender = recommender.with_catalogue(recommender.catalogue, changed_vectors=moved)
    for start in range(0, len(missing), ITEMS_AT_ONCE):
        some = missing[start : start + ITEMS_AT_ONCE]
        catalogue = recommender.catalogue
        described = bundle.describe_items(some, catalogue.taken)
        grown = catalogue.with_items(
            [item.item_id for item in some], [of_item.feature_set for of_item in described], recommender.tokenizer
        )
        recommender = recommender.with_catalogue(grown, np.stack([of_item.item_embedding for of_item in described]))
    return recommender
