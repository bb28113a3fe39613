"""Compare the new bundle with the serving one on the newest interactions. Start at `compare_with_serving`.

Both predict the next item of the same users, after the same histories, by item id, among the same items, with seen
items masked as in the service. Held out is each user's newest item that is new to him, for users who met it after the
serving bundle was made: neither bundle has learned from it. By time, everything new to a user since then is held out,
or since the test cut where that is later.

Items posted since the serving bundle was trained are added to its catalogue, as in the running service. A target that
it cannot rank, because it has no encoders, is a miss and stays in the mean. Without such misses, the serving bundle
would profit from every item that it does not know. Items that it cannot rank take no place of its list either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
from jaxtyping import Float64, Int64

from clairo_core.bundle.bundle import Bundle
from clairo_core.items import Item, described_digest, picture_digest
from clairo_core.progress import Progress
from clairo_core.recommender import Recommender
from training.datasets import Dataset
from training.datasets.event_times import SECONDS_PER_DAY
from training.evaluation.metrics import FEWEST_TARGETS, Metric, ndcg_at, paired_difference
from training.evaluation.rankings import generated_ranks
from training.evaluation.split import MASKED, EvaluationSplit, some_users, split_at, test_split
from training.evaluation.split_description import LEAVE_LAST_OUT
from training.evaluation.time_cuts import moment

LIST_LENGTH = 10
FEWEST_TARGET_ITEMS = 3
"""One order of items suits all users who want the same one, by luck as well as by training."""
WIDENED = 1.5
"""The 95% interval over chance is widened by this: a schedule compares hundreds of times. Of 590 comparisons drawn with
untrained bundles, 3 passed the plain interval and none the widened one."""
NOT_WORSE_THAN = 0.05
"""Share of the serving bundle's NDCG@10 that a promotion may lose, argued in docs/retraining.md."""
ITEMS_AT_ONCE = 256
"""Bounds the decoded pictures in memory."""


@dataclass(frozen=True, slots=True)
class AgainstServing:
    """NDCG@10 of both on the newest interactions. `clairo-serve` reads it on activation of the bundle."""

    serving_bundle_id: str
    num_users: int
    """How many users' targets the comparison rests on."""
    ndcg_at_10: float | None
    """None without targets since the serving bundle was made."""
    serving_ndcg_at_10: float | None
    difference: Metric | None
    """New minus serving, paired by user."""
    num_unknown_to_serving: int
    """Targets that the serving bundle cannot rank, counted as its misses."""
    chance_ndcg_at_10: float | None
    """Mean of a list in random order."""
    above_chance: Metric | None
    """New minus random order: mean over target items, and the interval over them."""
    num_target_items: int
    """Different items among the targets."""
    not_worse_than: float = NOT_WORSE_THAN
    """As in `may_be_worse`."""
    held_out: str = LEAVE_LAST_OUT.rule
    """The rule of the split."""

    @property
    def _counted(self) -> str:
        return "targets" if self.held_out == LEAVE_LAST_OUT.rule else "users' targets"

    @property
    def is_above_chance(self) -> bool:
        """Whether the widened interval excludes zero: that of an untrained bundle does not, nor that of misses."""
        above = self.above_chance
        return above is not None and above.value > max(0.0, WIDENED * (above.value - above.low))

    @property
    def refusal(self) -> str | None:
        """Why the new bundle is not promoted; None if it was measured on enough targets and is not worse."""
        if self.num_users < FEWEST_TARGETS:
            return f"{self.num_users} {self._counted} are too few to compare on, expected at least {FEWEST_TARGETS}"
        if self.num_target_items < FEWEST_TARGET_ITEMS:
            return (
                f"the targets of all {self.num_users:,} users are {self.num_target_items} items, expected at least "
                f"{FEWEST_TARGET_ITEMS} different ones"
            )
        assert self.ndcg_at_10 is not None
        assert self.serving_ndcg_at_10 is not None
        assert self.difference is not None
        if may_be_worse(self.difference, self.serving_ndcg_at_10, self.not_worse_than):
            return (
                f"its NDCG@10 of {self.ndcg_at_10:.4f} on {self.num_users:,} {self._counted} may be "
                f"{max(0.0, -self.difference.low):.4f} below the serving bundle's {self.serving_ndcg_at_10:.4f}, "
                f"expected at most {self.not_worse_than * self.serving_ndcg_at_10:.4f}"
            )
        if not self.is_above_chance:
            return (
                f"its NDCG@10 of {self.ndcg_at_10:.4f} on {self.num_users:,} {self._counted} is not clearly above "
                f"chance, {self.chance_ndcg_at_10:.4f}"
            )
        return None

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON, with the refusal."""
        return asdict(self) | {"refusal": self.refusal}

    def __str__(self) -> str:
        if self.ndcg_at_10 is None or self.serving_ndcg_at_10 is None or self.difference is None:
            who = "three different items" if self.held_out == LEAVE_LAST_OUT.rule else "a history"
            return (
                f"no user with {who} has met a new item since bundle {self.serving_bundle_id} was made: "
                "nothing to measure on that neither bundle has learned from"
            )
        text = (
            f"{self.held_out}, newest items of {self.num_users:,} users: NDCG@10 {self.ndcg_at_10:.4f}, serving bundle "
            f"{self.serving_bundle_id} {self.serving_ndcg_at_10:.4f} (difference {self.difference.value:+.4f}, paired "
            f"bootstrap {self.difference.low:+.4f} to {self.difference.high:+.4f})"
        )
        unknown = self.num_unknown_to_serving
        return f"{text}; {unknown:,} of them the serving bundle cannot rank" if unknown else text


def may_be_worse(difference: Metric, serving_ndcg_at_10: float, not_worse_than: float) -> bool:
    """Whether the interval of new minus serving reaches below the loss that is accepted.

    >>> may_be_worse(Metric("difference", 0.01, -0.02, 0.04), 0.3, 0.05)
    True

    Args:
        difference: paired by user.
        serving_ndcg_at_10: on the same targets.
        not_worse_than: accepted loss, as a share of `serving_ndcg_at_10`.
    """
    return difference.low < -not_worse_than * serving_ndcg_at_10


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
    not_worse_than: float = NOT_WORSE_THAN,
) -> AgainstServing:
    """Measure both bundles.

    Args:
        candidate: the new bundle's, with every item of the dataset.
        serving: the serving bundle.
        serving_recommender: the serving bundle's, with posted items added by `with_items_carried`.
        dataset: the candidate's, whose newest interactions are held out.
        newest_at: user id -> when he met his newest item, in seconds since 1970; see `newest_discoveries`.
        max_users: size of a seeded sample; 0 takes all.
        num_resamples: of the bootstrap interval.
        seed: of the sample.
        progress: over users, for both rankings.
        not_worse_than: as in `may_be_worse`.
    """
    made_at = serving_since(serving)
    split = some_users(newest_split(dataset, newest_at, made_at), max_users, seed)
    num_users = len(split.targets)
    held_out = LEAVE_LAST_OUT.rule
    if dataset.cuts is not None:
        held_out = f"split by time, from {moment(max(dataset.cuts.test, day_after(made_at)))}"
    if not num_users:
        return AgainstServing(
            serving.manifest.bundle_id, 0, None, None, None, 0, None, None, 0, not_worse_than, held_out
        )
    item_ids = [item.item_id for item in dataset.items]

    def ndcgs(recommender: Recommender, label: str) -> np.ndarray:
        ranks, _ = generated_ranks(recommender, item_ids, split, False, label, progress, list_length=LIST_LENGTH)
        return ndcg_at(ranks, LIST_LENGTH)

    num_targets = np.bincount(split.users_of_targets)
    chance = np.array(
        [
            chance_ndcg(len(item_ids) - len(np.unique(history)), int(wanted))
            for history, wanted in zip(split.histories, num_targets, strict=True)
        ]
    )
    # A user's NDCG counts for each of the items that he wants.
    target_items, item_of = np.unique(split.target_items, return_inverse=True)
    of_targets = split.users_of_targets
    ours, theirs = ndcgs(candidate, "newest, new bundle"), ndcgs(serving_recommender, "newest, serving bundle")
    return AgainstServing(
        serving.manifest.bundle_id,
        num_users,
        float(ours.mean()),
        float(theirs.mean()),
        paired_difference(ours, theirs, num_resamples),
        sum(item_ids[target] not in serving_recommender.catalogue for target in split.target_items),
        float(chance.mean()),
        paired_difference(mean_by(item_of, ours[of_targets]), mean_by(item_of, chance[of_targets]), num_resamples),
        len(target_items),
        not_worse_than,
        held_out,
    )


def mean_by(
    group_of: Int64[np.ndarray, "target"], values: Float64[np.ndarray, "target"]
) -> Float64[np.ndarray, "group"]:
    """The mean of each group.

    >>> mean_by(np.array([0, 1, 0]), np.array([1.0, 5.0, 2.0])).tolist()
    [1.5, 5.0]
    """
    means: Float64[np.ndarray, "group"] = np.bincount(group_of, values) / np.bincount(group_of)
    return means


def chance_ndcg(num_items: int, num_targets: int = 1) -> float:
    """The expected NDCG@10 of a random order of `num_items` items, some of them targets.

    >>> chance_ndcg(1), round(chance_ndcg(2), 3), round(chance_ndcg(1000), 4), chance_ndcg(3, 3)
    (1.0, 0.815, 0.0045, 1.0)
    """
    gains = ndcg_at(np.arange(1, min(LIST_LENGTH, num_items) + 1), LIST_LENGTH)
    return float(gains.sum() / num_items * num_targets / gains[:num_targets].sum())


def newest_split(dataset: Dataset, newest_at: Mapping[str, float], made_at: float) -> EvaluationSplit:
    """The masked test split, limited to users who met their target after `made_at`; by time, to what came after it."""
    if dataset.cuts is not None:
        return split_at(dataset, max(dataset.cuts.test, day_after(made_at)), np.inf, MASKED)
    split = test_split(dataset)
    is_newer = [newest_at.get(dataset.user_ids[row], made_at) > made_at for row in split.user_rows]
    return split.of_users(np.flatnonzero(is_newer))


def serving_since(serving: Bundle) -> float:
    """When the bundle was made, in seconds since 1970."""
    return datetime.fromisoformat(serving.manifest.created_at).timestamp()


def day_after(made_at: float) -> float:
    """The first number of days that stands for no moment up to `made_at`: days of events are rounded to minutes."""
    return float(np.nextafter(np.float32(made_at / SECONDS_PER_DAY), np.float32(np.inf)))


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
    moved, embeddings = {}, {}
    for item in items:
        row = bundle.catalogue.find_row(item.item_id)
        if row is None or bundle.has_content(row, described_digest(item.texts, picture_digest(item.read_picture()))):
            continue
        embeddings[row] = bundle.moved_embedding(row, item)[0]
        vectors = bundle.dense_vectors(row, embeddings[row])
        if vectors is not None:
            moved[row] = vectors
    if embeddings:
        recommender = recommender.with_catalogue(
            recommender.catalogue, changed_vectors=moved, changed_embeddings=embeddings
        )
    for start in range(0, len(missing), ITEMS_AT_ONCE):
        some = missing[start : start + ITEMS_AT_ONCE]
        catalogue = recommender.catalogue
        described = bundle.describe_items(some, catalogue.taken)
        grown = catalogue.with_items(
            [item.item_id for item in some], [of_item.feature_set for of_item in described], recommender.tokenizer
        )
        recommender = recommender.with_catalogue(grown, np.stack([of_item.item_embedding for of_item in described]))
    return recommender
