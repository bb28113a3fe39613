"""Lay out a check on one screen. Start at `page`."""

from collections.abc import Mapping

from clairo_core.values.counted import counted
from training.datasets.check.facts import Facts
from training.datasets.check.faults import FaultLog

_MOST_FAULTS = 25
_BAR = 28


def facts_page(facts: Facts) -> str:
    """The facts, a line or a few for each kind."""
    histories, items = facts.histories, facts.items
    dates = f", {histories.first_day} to {histories.last_day}" if histories.first_day else ""
    lines = [
        f"{facts.name}: {items.total:,} items, {histories.users:,} users, {histories.events:,} events read{dates}",
        "",
    ]
    if facts.events_by_type:
        lines.append(_row("events", ", ".join(f"{name} {count:,}" for name, count in facts.events_by_type.items())))
    left_out = [f"{counted(number, 'row')} without {name!r}" for name, number in facts.skipped.items()]
    if facts.unmatched:
        left_out.append(f"{counted(facts.unmatched, 'row')} that no condition fits")
    if facts.steps:
        left_out.append(f"{counted(facts.steps, 'event')} as steps to a target")
    if left_out:
        lines.append(_row("left out", ", ".join(left_out)))
    lines += [
        _row(
            "histories",
            f"shortest {histories.shortest:,}, median {histories.median:g}, mean {histories.mean:.1f}, "
            f"longest {histories.longest:,}; {histories.short_share:.0%} of users have fewer than 3 events",
        ),
        *_histogram(histories.lengths),
        _row(
            "repeats",
            f"{histories.repeat_share:.0%} of next events are the item before, {histories.seen_share:.0%} any earlier "
            "item",
        ),
        _row(
            "items",
            f"{items.without_words:,} without words, {items.without_picture:,} without picture, {items.alike:,} like "
            f"another, {items.never_chosen:,} in no history",
        ),
    ]
    return "\n".join(lines)


def _row(name: str, text: str) -> str:
    return f"{name:<11}{text}"


def _histogram(lengths: Mapping[str, int]) -> list[str]:
    largest = max(lengths.values(), default=0) or 1
    width = len(f"{largest:,}")
    return [
        f"{label:>10} {count:>{width},} {'#' * -(-count * _BAR // largest)}".rstrip()
        for label, count in lengths.items()
        if count
    ]


def faults_page(faults: FaultLog) -> str:
    """The faults, one line for each kind."""
    lines = [f"  {fault}" for fault in faults]
    if len(lines) > _MOST_FAULTS:
        lines[_MOST_FAULTS:] = [f"  and {len(lines) - _MOST_FAULTS} more kinds of faults; --json FILE lists all"]
    return "\n".join([f"{counted(len(faults), 'fault')}, {counted(faults.num_rows, 'row')}:", *lines])


def advice_page(advice: list[str]) -> str:
    """The advice, one line each."""
    return "\n".join(["advice:", *(f"  {line}" for line in advice)])
