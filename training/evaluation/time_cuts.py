"""Hold out by time: what all users did in the last horizon tests, the horizon before it validates.

    training | validation horizon | test horizon

Both cuts are the same for all users, and an event at a cut comes after it. A user's history is all before the cut;
his targets are the different items of the horizon after it. Start at `find_cuts`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64

from clairo_core.errors import DatasetError
from clairo_core.sequences import ItemSequences
from training.config.preset import SplitSettings
from training.datasets.dataset import Dataset, TimeCuts
from training.datasets.event_times import MAX_AHEAD_DAYS


@dataclass(frozen=True, slots=True, eq=False)
class LaterTargets:
    """What users with a history do in a horizon."""

    histories: ItemSequences
    """All before the horizon, oldest first, one per user."""
    targets: ItemSequences
    """Different items of the horizon in order of time, at least one per user."""
    user_rows: Int64[np.ndarray, "user"]
    num_without_history: int
    """Users with targets and nothing before them, who are left out."""


def find_cuts(dataset: Dataset, settings: SplitSettings, today: float, test_from: float = -np.inf) -> TimeCuts:
    """Both cuts, from the newest event that is not ahead of the clock, or by shares of all events.

    Args:
        dataset: with times.
        settings: of a split by time.
        today: in days since 1970.
        test_from: the test horizon begins no earlier, in days since 1970; until then, events validate.

    Raises:
        DatasetError: the interactions have no times, or too many are of one moment.
    """
    days = dataset.days
    if days is None or not len(days):
        raise DatasetError(
            f"{dataset.name}: split.kind is time, but its interactions have no times; name a column of times as "
            "timestamp, or use split.kind=last"
        )
    if settings.horizon_days:
        in_time = days[days <= today + MAX_AHEAD_DAYS]
        newest = float(in_time.max()) if len(in_time) else float(days.max())
        cuts = [np.float32(newest - horizons * settings.horizon_days) for horizons in (2, 1)]
    else:
        by_time = np.sort(days)
        shares = [1.0 - horizons * settings.horizon_share for horizons in (2, 1)]
        cuts = [by_time[int(max(0.0, share) * len(by_time))] for share in shares]
    validation, test = float(cuts[0]), max(float(cuts[1]), test_from)
    if validation >= test:
        raise DatasetError(
            f"{dataset.name}: the validation horizon and the test horizon both begin {moment(test)}, expected the "
            "former earlier; set a longer split.horizon_days, or a larger split.horizon_share"
        )
    return TimeCuts(validation, test)


def is_before(days: Float32[np.ndarray, "event"] | None, cut: float) -> Bool[np.ndarray, "event"]:
    """Mark what comes before a cut."""
    assert days is not None
    return days < np.float32(cut)


def later_targets(dataset: Dataset, begin: float, end: float, *, are_new: bool) -> LaterTargets:
    """Each user's targets from `begin` to before `end`, after the history before `begin`.

    Where only some events are targets (`ItemSequences.is_target`), the others are history at most.

    Args:
        dataset: with times.
        begin: of the horizon, in days since 1970.
        end: of the horizon.
        are_new: leave out items that the user's history has.
    """
    sequences = dataset.sequences
    num_users, num_items = len(sequences), max(1, len(dataset.items))
    user_of = np.repeat(np.arange(num_users), sequences.lengths)
    is_history, is_wanted = is_before(dataset.days, begin), is_before(dataset.days, end)
    is_wanted &= ~is_history
    if sequences.is_target is not None:
        is_wanted &= sequences.is_target
    num_before = np.bincount(user_of[is_history], minlength=num_users)
    has_history = num_before > 0
    num_without_history = len(np.unique(user_of[is_wanted & ~has_history[user_of]]))
    places = np.flatnonzero(is_wanted & has_history[user_of])
    pairs = user_of * num_items + sequences.items
    # What is bought twice in the horizon is one target.
    places = places[np.sort(np.unique(pairs[places], return_index=True)[1])]
    if are_new:
        places = places[~np.isin(pairs[places], pairs[is_history])]
    num_targets = np.bincount(user_of[places], minlength=num_users)
    user_rows = np.flatnonzero(num_targets)
    return LaterTargets(
        sequences.take(sequences.offsets[user_rows], num_before[user_rows]),
        ItemSequences.from_lengths(sequences.items[places].astype(np.int32), num_targets[user_rows]),
        user_rows,
        num_without_history,
    )


def moment(day: float) -> str:
    """A day since 1970 as a date and time.

    >>> moment(19_875.5)
    '2024-06-01 12:00 UTC'
    """
    date, time = str(np.datetime64("1970-01-01T00:00", "m") + round(day * 24 * 60)).split("T")
    return f"{date} {time} UTC"
