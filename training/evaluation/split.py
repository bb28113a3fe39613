"""Hold out each user's newest items that can be answered, or what all users did in the last horizons.

By time, see `time_cuts`; a dataset with `cuts` is split so, see `split_by`. Otherwise:

    seen items allowed, weighed    the last event tests, the one before validates (leave-last-out); a repeat counts
    seen items masked              the newest item that is new to its user tests, the next older one validates

A masked ranking can only miss an item of the history, hence the second rule. Without repeats both rules choose the same
targets. Users with fewer than three events, or masked with fewer than three different items, only train. Where this
leaves nobody two events to train on, or one item in all, nothing is held out.

Where only some events are targets (`ItemSequences.is_target`), the newest two of those are held out, and with them all
that came later. The others are history. Users with fewer than two targets after some event only train.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int32, Int64

from clairo_core.errors import DatasetError
from clairo_core.sequences import ItemSequences
from clairo_core.values.counted import counted
from training.config.preset import TIME, SplitSettings
from training.datasets.dataset import Dataset
from training.datasets.event_times import SECONDS_PER_DAY
from training.evaluation.metrics import Ranks, TargetRanks
from training.evaluation.time_cuts import find_cuts, is_before, later_targets, moment

ALLOWED, WEIGHED, MASKED = "allowed", "weighed", "masked"
SEEN_ITEMS = (ALLOWED, WEIGHED, MASKED)
"""`allowed` without a rule for repeats, as in most papers; `weighed` with one rule for every ranker, see `repeat_lift`;
`masked` as in a shop."""
MIN_ITEMS_TO_EVALUATE = 3
CHOSEN_ON_THESE_USERS = (
    "settings, epochs and weights were chosen on these users, which flatters every ranker except popularity; once all "
    "is chosen, measure on the test split"
)
"""Said of every table on validation."""


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSplit:
    """The next item to predict per user with enough items; by time, all later items too."""

    histories: ItemSequences
    """Items before the target, oldest first."""
    targets: Int32[np.ndarray, "user"]
    """Each user's next item."""
    user_rows: Int32[np.ndarray, "user"]
    """The users' rows in the dataset, ascending."""
    disliked: ItemSequences | None = None
    """What each user disliked before the target, and is never recommended; with masked seen items alone."""
    all_targets: ItemSequences | None = None
    """All targets of each user, `targets` first; None where everybody has one."""

    @property
    def target_items(self) -> Int32[np.ndarray, "target"]:
        """The targets of all users, one user after another."""
        return self.targets if self.all_targets is None else self.all_targets.items

    @property
    def users_of_targets(self) -> Int64[np.ndarray, "target"]:
        """Of `target_items`, as rows of this split."""
        users = np.arange(len(self.targets))
        return users if self.all_targets is None else np.repeat(users, self.all_targets.lengths)

    def targets_of(self, users: slice | Int64[np.ndarray, "some"]) -> Int32[np.ndarray, "user"] | ItemSequences:
        """What some users' lists are measured by: one target each, or all targets of each."""
        if self.all_targets is None:
            return self.targets[users]
        return self.all_targets.select(np.arange(len(self.targets))[users])

    def ranks_from(self, places: Int64[np.ndarray, "target"]) -> Ranks:
        """The places of `target_items` in their users' lists as ranks."""
        return places if self.all_targets is None else TargetRanks(places, self.all_targets.lengths)

    def of_users(self, chosen: Int64[np.ndarray, "user"]) -> "EvaluationSplit":
        """Some users, as rows of this split."""
        return EvaluationSplit(
            self.histories.select(chosen),
            self.targets[chosen],
            self.user_rows[chosen],
            None if self.disliked is None else self.disliked.select(chosen),
            None if self.all_targets is None else self.all_targets.select(chosen),
        )

    def is_same_as(self, other: "EvaluationSplit") -> bool:
        """Whether both predict the same items after the same histories and dislikes."""
        pairs = [
            (self.targets, other.targets),
            (self.target_items, other.target_items),
            (self.users_of_targets, other.users_of_targets),
            (self.user_rows, other.user_rows),
            (self.histories.lengths, other.histories.lengths),
            (self.histories.items, other.histories.items),
        ]
        if self.disliked is not None and other.disliked is not None:
            pairs += [
                (self.disliked.lengths, other.disliked.lengths),
                (self.disliked.items, other.disliked.items),
            ]
        is_with_dislikes = self.disliked is not None
        return is_with_dislikes == (other.disliked is not None) and all(
            np.array_equal(mine, others) for mine, others in pairs
        )


HeldOut: TypeAlias = Mapping[str, EvaluationSplit]
"""Targets by seen-item mode."""


def split_by(dataset: Dataset, settings: SplitSettings, test_from: float = -np.inf) -> Dataset:
    """The dataset with the cuts of a split by time, and its own fingerprint; unchanged for leave-last-out.

    Args:
        dataset: with times.
        settings: of the split.
        test_from: as in `find_cuts`.

    Raises:
        DatasetError: the interactions have no times, or those before the cut teach nothing.
    """
    if settings.kind != TIME:
        return dataset
    cuts = find_cuts(dataset, settings, time.time() / SECONDS_PER_DAY, test_from)
    learned = [is_before(dataset.days, cut) for cut in (cuts.validation, cuts.test)]
    if not teaches(dataset.sequences.where(learned[0])):
        assert dataset.days is not None
        first, last = float(dataset.days.min()), float(dataset.days.max())
        raise DatasetError(
            f"{dataset.name}: there is nothing to learn before the validation horizon begins, {moment(cuts.validation)}"
            f", expected two events of a user and two items; the data begin {moment(first)} and last "
            f"{counted(math.ceil(last - first), 'day')}: set a shorter split.horizon_days, or a smaller "
            "split.horizon_share"
        )
    digest = sha256(dataset.fingerprint.encode())
    for is_learned in learned:
        digest.update(np.packbits(is_learned).tobytes())
    return replace(dataset, cuts=cuts, fingerprint=digest.hexdigest())


def training_sequences(dataset: Dataset) -> ItemSequences:
    """Every user's sequence without the events held out: from the second last target, and all of both masked targets.

    Users who only train stay whole. By time, what comes before the validation horizon. Row i is the dataset's user i.
    """
    if dataset.cuts is not None:
        return dataset.sequences.where(is_before(dataset.days, dataset.cuts.validation))
    left = _without_held_out(dataset.sequences)
    return left if teaches(left) else dataset.sequences


def sequences_before_test(dataset: Dataset) -> ItemSequences:
    """Every user's sequence without the events that test: from the last target, and all of the masked test target.

    What a recommender may learn before it is measured on the test split, once validation has chosen everything.
    """
    if dataset.cuts is not None:
        return dataset.sequences.where(is_before(dataset.days, dataset.cuts.test))
    left = _without_held_out(dataset.sequences)
    return _without_held_out(dataset.sequences, num_targets=1) if teaches(left) else dataset.sequences


def validation_split(dataset: Dataset, seen_items: str = MASKED) -> EvaluationSplit:
    """Predict each user's second newest answerable item from the history before it, or the items between both cuts."""
    if dataset.cuts is not None:
        return split_at(dataset, dataset.cuts.validation, dataset.cuts.test, seen_items)
    return _with_dislikes(_evaluation_split(dataset.sequences, seen_items, items_back=2), dataset, seen_items)


def test_split(dataset: Dataset, seen_items: str = MASKED) -> EvaluationSplit:  # noqa: PT028 - not a test
    """Predict each user's newest answerable item from the history before it, or all items after the last cut."""
    if dataset.cuts is not None:
        return split_at(dataset, dataset.cuts.test, np.inf, seen_items)
    return _with_dislikes(_evaluation_split(dataset.sequences, seen_items, items_back=1), dataset, seen_items)


def split_at(dataset: Dataset, begin: float, end: float, seen_items: str) -> EvaluationSplit:
    """Predict what each user does from `begin` to before `end`, in days since 1970, from the history before it.

    Masked, only items that are new to the user.
    """
    later = later_targets(dataset, begin, end, are_new=seen_items == MASKED)
    next_items = later.targets.items[later.targets.offsets[:-1]]
    split = EvaluationSplit(later.histories, next_items, later.user_rows.astype(np.int32), all_targets=later.targets)
    return _with_dislikes(split, dataset, seen_items)


# pytest would collect it as a test wherever it is imported.
test_split.__test__ = False  # type: ignore[attr-defined]


def held_out(split_of: Callable[[Dataset, str], EvaluationSplit], dataset: Dataset) -> HeldOut:
    """`test_split` or `validation_split` in every mode."""
    return {seen_items: split_of(dataset, seen_items) for seen_items in SEEN_ITEMS}


def training_items(dataset: Dataset) -> Bool[np.ndarray, "item"]:
    """Mark the items that occur in a training sequence."""
    is_training_item = np.zeros(len(dataset.items), dtype=np.bool_)
    is_training_item[training_sequences(dataset).items] = True
    return is_training_item


def some_users(split: EvaluationSplit, count: int, seed: int) -> EvaluationSplit:
    """Draw a seeded sample of at most `count` users, in order; 0 keeps all."""
    if count == 0 or len(split.targets) <= count:
        return split
    return split.of_users(np.sort(np.random.default_rng(seed).permutation(len(split.targets))[:count]))


def some_of_each(targets: HeldOut, count: int, seed: int) -> HeldOut:
    """`some_users` of the first mode, and the same users in the others; a mode without users is left out."""
    split, *_ = targets.values()
    users = some_users(split, count, seed).user_rows
    drawn = {mode: split.of_users(np.flatnonzero(np.isin(split.user_rows, users))) for mode, split in targets.items()}
    return {mode: split for mode, split in drawn.items() if len(split.targets)}


def last_training_items(training: ItemSequences) -> EvaluationSplit:
    """Each training sequence's last item after those before it: the scale of scores, never a measure of them."""
    user_rows = np.flatnonzero(training.lengths >= 2)
    return _split_at(training, user_rows, training.offsets[user_rows + 1] - 1)


def teaches(training: ItemSequences) -> bool:
    """Whether a target follows anything, and there are items to choose between."""
    follows = np.ones(len(training.items), dtype=np.bool_) if training.is_target is None else training.is_target.copy()
    follows[training.offsets[:-1][training.lengths > 0]] = False
    return bool(follows.any() and len(np.unique(training.items)) >= 2)


def dislikes_before(dataset: Dataset, split: EvaluationSplit) -> ItemSequences:
    """What each user of a split disliked before the target: one sequence per user, empty without dislikes.

    By time, before the history's last item: a later dislike may come after the cut.
    """
    if dataset.dislikes is None or dataset.dislike_places is None:
        return ItemSequences.from_lists([()] * len(split.targets))
    num_before = np.zeros(len(dataset.user_ids), dtype=np.int64)
    num_before[split.user_rows] = split.histories.lengths
    if dataset.cuts is not None:
        num_before -= 1
    is_early = dataset.dislike_places <= np.repeat(num_before, dataset.dislikes.lengths)
    return dataset.dislikes.where(is_early).select(split.user_rows)


def _evaluation_split(sequences: ItemSequences, seen_items: str, items_back: int) -> EvaluationSplit:
    if not teaches(_without_held_out(sequences)):
        nobody = np.zeros(0, dtype=np.int64)
        return _split_at(sequences, nobody, nobody)
    newest = _newest_new if seen_items == MASKED else _newest
    return _split_at(sequences, *newest(sequences, items_back))


def _with_dislikes(split: EvaluationSplit, dataset: Dataset, seen_items: str) -> EvaluationSplit:
    if dataset.dislikes is None or seen_items != MASKED:
        return split
    return replace(split, disliked=dislikes_before(dataset, split))


def _without_held_out(sequences: ItemSequences, num_targets: int = 2) -> ItemSequences:
    """The sequences before each user's `num_targets`-th newest target, without those of the masked mode."""
    lengths = sequences.lengths
    user_of = np.repeat(np.arange(len(lengths)), lengths)
    end = sequences.offsets[1:].copy()
    user_rows, places = _newest(sequences, num_targets)
    end[user_rows] = places
    trains = np.arange(len(user_of)) < end[user_of]
    for items_back in range(1, num_targets + 1):
        user_rows, places = _newest_new(sequences, items_back)
        held_out = np.full(len(lengths), -1, dtype=np.int64)
        held_out[user_rows] = sequences.items[places]
        trains &= sequences.items != held_out[user_of]
    return sequences.where(trains)


def _newest(sequences: ItemSequences, items_back: int) -> tuple[Int64[np.ndarray, "user"], Int64[np.ndarray, "user"]]:
    """Users with enough events, and the place in `sequences.items` of their `items_back`-th newest target."""
    return _held_out_places(sequences, np.arange(len(sequences.items)), items_back)


def _newest_new(
    sequences: ItemSequences, items_back: int
) -> tuple[Int64[np.ndarray, "user"], Int64[np.ndarray, "user"]]:
    """Users with enough different items, and the place of their `items_back`-th newest target that is new to them."""
    user_of = np.repeat(np.arange(len(sequences)), sequences.lengths)
    num_items = int(sequences.items.max(initial=0)) + 1
    first = np.sort(np.unique(user_of * num_items + sequences.items, return_index=True)[1])
    return _held_out_places(sequences, first, items_back)


def _held_out_places(
    sequences: ItemSequences, places: Int64[np.ndarray, "place"], items_back: int
) -> tuple[Int64[np.ndarray, "user"], Int64[np.ndarray, "user"]]:
    """Users with at least three of `places`, two of them targets after something, and their `items_back`-th newest."""
    num_places = np.diff(np.searchsorted(places, sequences.offsets))
    targets = places if sequences.is_target is None else places[sequences.is_target[places]]
    ends = np.searchsorted(targets, sequences.offsets[1:])
    num_targets = np.diff(ends, prepend=0)
    user_rows = np.flatnonzero((num_places >= MIN_ITEMS_TO_EVALUATE) & (num_targets >= 2))
    user_rows = user_rows[targets[ends[user_rows] - 2] > sequences.offsets[user_rows]]
    return user_rows, targets[ends[user_rows] - items_back]


def _split_at(
    sequences: ItemSequences, user_rows: Int64[np.ndarray, "user"], places: Int64[np.ndarray, "user"]
) -> EvaluationSplit:
    """The targets at these places of `sequences.items`, and what their users had before."""
    begins = sequences.offsets[user_rows]
    return EvaluationSplit(sequences.take(begins, places - begins), sequences.items[places], user_rows.astype(np.int32))
