"""Count what a dataset holds: items, users, events by type, history lengths, repeats. Start at `measure`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from clairo_core.items import Item, described_digest
from clairo_core.sequences import ItemSequences
from training.datasets.event_times import MAX_AHEAD_DAYS, SECONDS_PER_DAY

FEWEST_MEASURED = 3
"""Events of a user that is measured: one to test, one to validate, one to start from."""
_LENGTHS = ((1, "1"), (2, "2"), (3, "3-4"), (5, "5-9"), (10, "10-19"), (20, "20-49"), (50, "50-99"), (100, "100+"))
_BEYOND = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFacts:
    """Counts of items."""

    total: int
    without_picture: int
    without_words: int
    without_content: int
    """Neither words, picture nor vectors."""
    alike: int
    """Items with the words and picture of an earlier one."""
    never_chosen: int
    """In no history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFacts:
    """The histories that models read, after all rules of the dataset."""

    users: int
    events: int
    shortest: int
    median: float
    mean: float
    longest: int
    lengths: Mapping[str, int]
    """Range of lengths to number of users."""
    short_share: float
    """Users with fewer events than `FEWEST_MEASURED`."""
    repeat_share: float
    """Next events that are the item just before."""
    seen_share: float
    """Next events that are any earlier item of the user."""
    largest_share: float
    """Events of the user with most."""
    first_day: str | None
    last_day: str | None
    ahead: int
    """Events dated ahead of the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is counted."""

    name: str
    items: ItemFacts
    histories: HistoryFacts
    events_by_type: Mapping[str, int]
    """Rows of each type; empty without types."""
    unreadable_pictures: int
    """Files that count as missing, as the dataset says, among those tested."""
    has_picture_column: bool
    unknown_items: int
    """Rows left out for their item."""
    skipped: Mapping[str, int]
    """Rows of interactions left out by `skip_without`, by column."""
    unmatched: int
    """Rows whose value no condition fits."""
    steps: int
    """Events that a target on the same item stands for."""
    users_alike: int
    """Ids of users that differ from another only by spaces at the ends, case, or a trailing `.0`."""
    have_strangers: bool
    """There are several files of interactions, and one of them shares no user with any other."""
    are_undated: bool
    """Timestamps are numbers too small for seconds since 1970."""
    has_times_of_day: bool
    """Whether some time is not midnight."""


def item_facts(items: Sequence[Item], chosen: ItemSequences) -> ItemFacts:
    """Count items; `chosen` holds rows of `items`."""
    digests = [described_digest(item.texts, _picture_key(item)) for item in items]
    without_words = [not item.text.strip() for item in items]
    without_picture = [item.picture is None for item in items]
    described = [
        digest for digest, *absent in zip(digests, without_words, without_picture, strict=True) if not all(absent)
    ]
    return ItemFacts(
        total=len(items),
        without_picture=sum(without_picture),
        without_words=sum(without_words),
        without_content=sum(
            no_words and no_picture and not item.vectors
            for item, no_words, no_picture in zip(items, without_words, without_picture, strict=True)
        ),
        alike=len(described) - len(set(described)),
        never_chosen=int(np.count_nonzero(np.bincount(chosen.items, minlength=len(items)) == 0)),
    )


def _picture_key(item: Item) -> str | None:
    """The path, or a hash of the bytes: files of pictures are not read."""
    if isinstance(item.picture, Path):
        return str(item.picture)
    picture = item.read_picture()
    return None if picture is None else str(hash(picture))


def history_facts(histories: ItemSequences, days: Float32[np.ndarray, "event"] | None, *, today: float) -> HistoryFacts:
    """Measure histories, oldest first.

    Args:
        histories: one of every user.
        days: of `histories.items`, since 1970; None without times.
        today: in days since 1970.
    """
    lengths = histories.lengths
    starts = np.zeros(len(histories.items), dtype=np.bool_)
    starts[histories.offsets[:-1][lengths > 0]] = True
    is_next = ~starts[1:]
    num_next = max(int(is_next.sum()), 1)
    users = np.repeat(np.arange(len(lengths)), lengths)
    # Sorted: np.unique takes ten times as long where most are unique.
    pairs = users * (int(histories.items.max(initial=0)) + 1) + histories.items
    return HistoryFacts(
        users=len(lengths),
        events=len(histories.items),
        shortest=int(lengths.min(initial=_BEYOND)) if len(lengths) else 0,
        median=float(np.median(lengths)) if len(lengths) else 0.0,
        mean=float(lengths.mean()) if len(lengths) else 0.0,
        longest=int(lengths.max(initial=0)),
        lengths=_users_by_length(lengths),
        short_share=float(np.mean(lengths < FEWEST_MEASURED)) if len(lengths) else 1.0,
        repeat_share=int(np.count_nonzero((histories.items[1:] == histories.items[:-1]) & is_next)) / num_next,
        seen_share=int(np.count_nonzero(np.diff(np.sort(pairs)) == 0)) / num_next,
        largest_share=float(lengths.max(initial=0) / max(len(histories.items), 1)),
        first_day=None if days is None else _date(float(days.min())),
        last_day=None if days is None else _date(float(days.max())),
        ahead=0 if days is None else int(np.count_nonzero(days > today + MAX_AHEAD_DAYS)),
    )


def _users_by_length(lengths: Int64[np.ndarray, "user"]) -> dict[str, int]:
    bounds = [start for start, _ in _LENGTHS] + [_BEYOND]
    counts, _ = np.histogram(lengths, bins=bounds)
    return {label: int(count) for (_, label), count in zip(_LENGTHS, counts, strict=True)}


def _date(day: float) -> str:
    try:
        return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=day * SECONDS_PER_DAY)).date())
    except OverflowError:
        return "beyond the calendar"
