"""Turn interactions into one sequence of item rows per user, oldest first, and into what users dislike.

Types decide which interactions are read, which of them teach, and how much each counts. Start at `build_sequences`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Float64, Int, Int32, Int64

from clairo_core.errors import EmptyTableError
from clairo_core.events import EventType, InteractionRules
from clairo_core.sequences import ItemSequences
from training.datasets.event_times import days_since_1970
from training.datasets.k_core import k_core


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """User, item, time and type of each interaction, in the source's row order."""

    user_ids: pa.LargeStringArray
    """In order of first occurrence."""
    users: Int32[np.ndarray, "interaction"]
    items: Int32[np.ndarray, "interaction"]
    order: Int64[np.ndarray, "interaction"] | Float64[np.ndarray, "interaction"]
    type_names: tuple[str, ...] = ()
    types: Int32[np.ndarray, "interaction"] | None = None
    """Places in `type_names`; None if rows have no type."""
    num_unmatched: int = 0
    """Rows that no rule fits, left out already."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Rows of ignored types, left out already."""
    num_unknown: int = 0
    """Rows of unknown items, left out already."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Rows left out by `skip_without`, by the first column without a value."""
    time_units: tuple[str, ...] = ()
    """Units that numbers were read in, each once: seconds, milliseconds, ...; none for dates and positions."""


@dataclass(frozen=True, slots=True, eq=False)
class Dislikes:
    """What each user dislikes, in order of time."""

    items: ItemSequences
    """One sequence per user."""
    places: Int64[np.ndarray, "dislike"]
    """How many interactions of the user's sequence came before each."""


@dataclass(frozen=True, slots=True, eq=False)
class UnreadEvents:
    """Positive events that count towards popularity alone."""

    items: ItemSequences
    """First one sequence for each of the dataset's users, then those of others."""
    days: Float32[np.ndarray, "event"] | None
    """Of `items.items`, since 1970; None without times."""

    def until(self, day: float) -> "UnreadEvents":
        """Those of this day and before; all of them without times."""
        if self.days is None:
            return self
        is_early = self.days <= day
        return UnreadEvents(self.items.where(is_early), self.days[is_early])


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Rows of the interactions, for a report."""

    by_type: Mapping[str, int] = field(default_factory=dict)
    num_unmatched: int = 0
    """Rows whose value no condition fits."""
    num_steps: int = 0
    """Events that a target on the same item stands for."""
    num_of_disliked: int = 0
    """Positive events on items that their user dislikes."""


@dataclass(frozen=True, slots=True, eq=False)
class UserSequences:
    """Users' interactions in order of time."""

    user_ids: tuple[str, ...]
    sequences: ItemSequences
    """Rows of the kept items."""
    days: Float32[np.ndarray, "interaction"] | None
    """Of `sequences.items`, since 1970; None without times."""
    is_item_kept: Bool[np.ndarray, "item"]
    dislikes: Dislikes | None
    """None if nobody dislikes anything."""
    unread: UnreadEvents | None
    """None if every positive event is read."""
    counts: EventCounts | None
    """None without types."""


def build_sequences(
    interactions: Interactions,
    is_item_wanted: Bool[np.ndarray, "item"],
    rules: InteractionRules,
    *,
    source_name: str,
    is_time: bool,
) -> UserSequences:
    """Sort by user and time, without duplicates and, with `min_interactions`, without rare users and items.

    Rows equal in user, item and time count once; row order breaks ties in time. Users keep their order of first
    occurrence. With `min_interactions` 0, items without interactions are kept. Where several events become one, it has
    the largest weight, and is a target if one of them is. An item that a user dislikes is not in his sequence.

    Raises:
        EmptyTableError: no interaction is left.
    """
    users, items, order = interactions.users, interactions.items, interactions.order
    events = _Events(interactions, rules)
    kept = np.flatnonzero(is_item_wanted[items])
    disliked = events.newest_dislikes(kept)
    num_of_disliked = 0
    if len(disliked):
        is_of_disliked = _is_in(events.pairs[kept], events.pairs[disliked])
        num_of_disliked = int(np.count_nonzero(events.is_positive[kept[is_of_disliked]]))
        kept = kept[~is_of_disliked]
    unread = kept[events.counts_alone[kept]]
    kept = kept[events.is_read[kept]]
    kept = events.merged(kept, by_time=True)
    kept, num_steps = events.without_steps(kept) if rules.repeats == "keep" else (events.merged(kept), 0)
    is_item_kept = is_item_wanted
    if rules.min_interactions > 0:
        kept = kept[k_core(users[kept], items[kept], rules.min_interactions)]
        is_item_kept = np.zeros_like(is_item_wanted)
        is_item_kept[items[kept]] = True
    if kept.size == 0:
        raise EmptyTableError(
            f"{source_name}: none of {len(users):,} interactions with known items is left after filtering items and "
            f"requiring {rules.min_interactions} interactions per user and item; lower min_interactions"
            + ("" if events.types is None else ", or count more types as positive in [events]")
        )
    user_rows, lengths = np.unique(users[kept], return_counts=True)
    new_item_rows = (np.cumsum(is_item_kept) - 1).astype(np.int32)

    def sequences_of(rows: Int64[np.ndarray, "row"], lengths: Int64[np.ndarray, "user"]) -> ItemSequences:
        return ItemSequences(
            new_item_rows[items[rows]],
            np.concatenate([[0], np.cumsum(lengths)]),
            None if events.weights is None else events.weights[rows],
            None if events.is_target is None else events.is_target[rows],
        )

    by_user = kept[np.lexsort((order[kept], users[kept]))]
    unread = unread[is_item_kept[items[unread]]]
    unread, num_unread = _by_new_user(unread, users, order, user_rows)
    days = days_since_1970(order[np.concatenate([by_user, unread])]) if is_time else None
    return UserSequences(
        tuple(interactions.user_ids.take(pa.array(user_rows)).to_pylist()),
        sequences_of(by_user, lengths),
        None if days is None else days[: len(by_user)],
        is_item_kept,
        _dislikes(disliked[is_item_kept[items[disliked]]], by_user, users, order, user_rows, new_item_rows[items]),
        UnreadEvents(sequences_of(unread, num_unread), None if days is None else days[len(by_user) :])
        if len(unread)
        else None,
        events.counts(num_steps, num_of_disliked),
    )


class _Events:
    """What the rules make of each interaction. Weights and targets change where events become one."""

    def __init__(self, interactions: Interactions, rules: InteractionRules) -> None:
        self.users, self.items, self.order = interactions.users, interactions.items, interactions.order
        self.pairs: Int64[np.ndarray, "interaction"] = (
            self.users.astype(np.int64) * (int(self.items.max(initial=0)) + 1) + self.items
        )
        self._interactions = interactions
        self.types = types = interactions.types
        self.weights: Float32[np.ndarray, "interaction"] | None = None
        self.is_target: Bool[np.ndarray, "interaction"] | None = None
        self.is_read = np.ones(len(self.users), dtype=np.bool_)
        self.counts_alone = np.zeros(len(self.users), dtype=np.bool_)
        """Positive, but not read."""
        self._names = interactions.type_names
        self._meanings: list[EventType] = [rules.of(name) for name in self._names]
        self._lifts = np.array([rules.lifts_dislike(name) for name in self._names], dtype=np.bool_)
        if types is not None:
            is_positive = np.array([one.meaning == "positive" for one in self._meanings])
            is_read = np.array([one.is_read for one in self._meanings])
            self.is_read, self.counts_alone = (is_positive & is_read)[types], (is_positive & ~is_read)[types]
            self.weights = np.array([one.weight for one in self._meanings], dtype=np.float32)[types]
            self.is_target = np.array([rules.is_target(name) for name in self._names])[types]

    def newest_dislikes(self, rows: Int64[np.ndarray, "row"]) -> Int64[np.ndarray, "dislike"]:
        """Each pair's newest negative event, unless a later one lifts it; in row order."""
        is_negative = np.array([one.meaning == "negative" for one in self._meanings], dtype=np.bool_)
        if self.types is None or not is_negative.any():
            return np.zeros(0, dtype=np.int64)
        rows = rows[(is_negative | self._lifts)[self.types[rows]]]
        rows = rows[np.lexsort((self.order[rows], self.pairs[rows]))]
        is_last = np.ones(len(rows), dtype=np.bool_)
        is_last[:-1] = self.pairs[rows[1:]] != self.pairs[rows[:-1]]
        newest: Int64[np.ndarray, "dislike"] = np.sort(rows[is_last & is_negative[self.types[rows]]])
        return newest

    def merged(self, rows: Int64[np.ndarray, "row"], *, by_time: bool = False) -> Int64[np.ndarray, "row"]:
        """Leave one row per pair of user and item, the oldest, or with `by_time` one at each time."""
        # Rising and distinct rows: as many as there are, they are all, and need no copy.
        pairs = self.pairs if len(rows) == len(self.pairs) else self.pairs[rows]
        by_pair = np.argsort(pairs, kind="stable")
        in_order = pairs[by_pair]
        is_same_as_next = np.zeros(len(pairs) + 1, dtype=np.bool_)
        is_same_as_next[1:-1] = in_order[1:] == in_order[:-1]
        del in_order
        # Few pairs repeat, and only those need the slower sort by time.
        repeated = by_pair[is_same_as_next[1:] | is_same_as_next[:-1]]
        if not len(repeated):
            return rows
        # Both sorts are stable: equal rows keep their order in the source.
        repeated = repeated[np.lexsort((self.order[rows[repeated]], pairs[repeated]))]
        is_later = pairs[repeated[1:]] == pairs[repeated[:-1]]
        if by_time:
            order = self.order[rows[repeated]]
            is_later &= order[1:] == order[:-1]
        starts = np.flatnonzero(np.concatenate([[True], ~is_later]))
        firsts, members = rows[repeated[starts]], rows[repeated]
        if self.weights is not None:
            self.weights[firsts] = np.maximum.reduceat(self.weights[members], starts)
        if self.is_target is not None:
            self.is_target[firsts] = np.logical_or.reduceat(self.is_target[members], starts)
        is_first = np.ones(len(rows), dtype=np.bool_)
        is_first[repeated[1:]] = ~is_later
        return rows[is_first]

    def without_steps(self, rows: Int64[np.ndarray, "row"]) -> tuple[Int64[np.ndarray, "row"], int]:
        """Leave out what a target of the same user on the same item stands for."""
        if self.is_target is None or self.is_target[rows].all():
            return rows, 0
        is_target = self.is_target[rows]
        is_step = ~is_target & _is_in(self.pairs[rows], self.pairs[rows[is_target]])
        return rows[~is_step], int(np.count_nonzero(is_step))

    @property
    def is_positive(self) -> Bool[np.ndarray, "interaction"]:
        """Whether each is read or counts alone."""
        return self.is_read | self.counts_alone

    def counts(self, num_steps: int, num_of_disliked: int) -> EventCounts | None:
        """Rows by type."""
        if self.types is None:
            return None
        numbers = np.bincount(self.types, minlength=len(self._names)).tolist()
        by_type = {name: number for name, number in zip(self._names, numbers, strict=True) if number}
        by_type |= self._interactions.ignored
        return EventCounts(by_type, self._interactions.num_unmatched, num_steps, num_of_disliked)


def _is_in(values: Int[np.ndarray, "value"], some: Int[np.ndarray, "some"]) -> Bool[np.ndarray, "value"]:
    """`np.isin`, in a third of its time for millions of large numbers."""
    if not len(some):
        return np.zeros(len(values), dtype=np.bool_)
    ordered = np.sort(some)
    found: Bool[np.ndarray, "value"] = ordered[np.minimum(np.searchsorted(ordered, values), len(some) - 1)] == values
    return found


def _by_new_user(
    rows: Int64[np.ndarray, "row"],
    users: Int32[np.ndarray, "interaction"],
    order: Int64[np.ndarray, "interaction"] | Float64[np.ndarray, "interaction"],
    user_rows: Int32[np.ndarray, "user"],
) -> tuple[Int64[np.ndarray, "row"], Int64[np.ndarray, "user"]]:
    """Sort rows by the users' new numbers and by time, users without one last; and the number of each one's rows."""
    others = np.setdiff1d(users[rows], user_rows)
    new_number = np.zeros(int(users.max(initial=0)) + 1, dtype=np.int64)
    new_number[user_rows] = np.arange(len(user_rows))
    new_number[others] = len(user_rows) + np.arange(len(others))
    numbers = new_number[users[rows]]
    return rows[np.lexsort((order[rows], numbers))], np.bincount(numbers, minlength=len(user_rows) + len(others))


def _dislikes(
    disliked: Int64[np.ndarray, "dislike"],
    by_user: Int64[np.ndarray, "interaction"],
    users: Int32[np.ndarray, "interaction"],
    order: Int64[np.ndarray, "interaction"] | Float64[np.ndarray, "interaction"],
    user_rows: Int32[np.ndarray, "user"],
    item_rows: Int32[np.ndarray, "interaction"],
) -> Dislikes | None:
    """The dislikes of users with a sequence, each placed among the user's interactions."""
    disliked = disliked[_is_in(users[disliked], user_rows)]
    if not len(disliked):
        return None
    both = np.sort(np.concatenate([by_user, disliked]))
    both = both[np.lexsort((order[both], users[both]))]
    is_disliked_row = np.zeros(len(users), dtype=np.bool_)
    is_disliked_row[disliked] = True
    is_dislike = is_disliked_row[both]
    # A user's first place is the number of interactions of those before him.
    num_before = np.cumsum(~is_dislike)[is_dislike]
    rows = both[is_dislike]
    number = np.searchsorted(user_rows, users[rows])
    first_place = np.searchsorted(users[by_user], user_rows)
    lengths = np.bincount(number, minlength=len(user_rows))
    return Dislikes(ItemSequences.from_lengths(item_rows[rows], lengths), num_before - first_place[number])
