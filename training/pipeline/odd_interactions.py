"""One user is not the crowd: popularity by users, and warnings of users and clocks that would distort a bundle.

Events of the data are reported by type.
"""

import time

import numpy as np
from jaxtyping import Float64

from clairo_core.values.counted import counted
from training.counts.popularity import user_popularity
from training.datasets.event_times import MAX_AHEAD_DAYS, SECONDS_PER_DAY
from training.workbench.user_share import TIMES_THE_MEDIAN
from training.workbench.workbench import Workbench

LARGEST_SHARE = 0.1
"""Of all interactions: above it, a user far over the median is reported."""
_ROLES = {"negative": "dislike", "impression": "not learned", "ignored": "ignored"}


def popular_by_users(bench: Workbench) -> Float64[np.ndarray, "item"]:
    """Users of each item in training, for the bundle's popular list; see `user_popularity`."""
    dataset = bench.dataset
    whole, days, unread = dataset.sequences, dataset.days, dataset.unread
    if dataset.cuts is not None and days is not None and len(bench.training.items) < len(days):
        # Training is the beginning of every sequence, up to one moment: nothing later may date or add an event.
        is_learned = np.arange(len(days)) < np.repeat(whole.offsets[:-1] + bench.training.lengths, whole.lengths)
        whole, days = whole.where(is_learned), days[is_learned]
        unread = None if unread is None else unread.until(days.max(initial=-np.inf))
    return user_popularity(bench.training, len(dataset.items), whole, days, _today(), unread)


def report_events(bench: Workbench) -> None:
    """Report how many events are read, by type, and what becomes of the others; nothing where events have no types."""
    counts, rules = bench.dataset.event_counts, bench.dataset.rules
    if counts is None:
        return
    read, others = [], []
    for name, count in counts.by_type.items():
        one, is_target = rules.of(name), rules.is_target(name)
        if one.meaning == "positive" and one.is_read:
            target = "target, " if rules.targets and is_target else ""
            read.append(f"{count:,} {name} ({target}weight {one.weight:g})")
        else:
            role = "popularity alone" if one.meaning == "positive" else _ROLES[one.meaning]
            others.append(f"{count:,} {name} ({role})")
    if counts.num_unmatched:
        others.append(f"{counts.num_unmatched:,} that no condition fits (ignored)")
    if counts.num_steps:
        others.append(f"{counts.num_steps:,} left out as steps to a target")
    if counts.num_of_disliked:
        others.append(f"{counts.num_of_disliked:,} left out as the user dislikes the item")
    bench.report(f"events read: {', '.join(read)}")
    if others:
        bench.report(f"other events: {', '.join(others)}")


def warn_of_odd_interactions(bench: Workbench) -> None:
    """Report users with most of the interactions, and interactions ahead of the clock."""
    dataset, lengths = bench.dataset, bench.dataset.sequences.lengths
    total, median = int(lengths.sum()), float(np.median(lengths))
    is_odd = (lengths > LARGEST_SHARE * total) & (lengths > TIMES_THE_MEDIAN * median)
    for user in np.flatnonzero(is_odd):
        bench.report(
            f"warning: user {dataset.user_ids[user]!r} has {lengths[user] / total:.0%} of all {total:,} interactions, "
            f"the median user {median:g}; if it is a robot, leave it out of the data"
        )
    if dataset.days is None:
        return
    is_ahead = dataset.days > _today() + MAX_AHEAD_DAYS
    if is_ahead.any():
        first = int(np.argmax(is_ahead))
        user_id = dataset.user_ids[int(np.searchsorted(dataset.sequences.offsets, first, side="right")) - 1]
        date = np.datetime64("1970-01-01") + int(dataset.days[first])
        bench.report(
            f"warning: {counted(int(np.count_nonzero(is_ahead)), 'interaction')} dated more than an hour ahead, "
            f"the first of user {user_id!r} on {date}; popularity takes them for as new as the newest other one. "
            "Correct the clock that dated them"
        )


def _today() -> float:
    return time.time() / SECONDS_PER_DAY
