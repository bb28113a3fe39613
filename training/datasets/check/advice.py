"""Turn facts of a dataset into advice: what to set, and why. Start at `advise`."""

from collections.abc import Collection

from clairo_core.events import InteractionRules
from clairo_core.values.counted import counted
from training.datasets.check.facts import FEWEST_MEASURED, Facts
from training.datasets.init.column_words import weight_of

MANY_REPEATS = 0.1
MANY_SHORT = 0.5
ONE_USER = 0.1
MANY_SKIPPED = 0.05
FEW_USERS = 200


def advise(facts: Facts, rules: InteractionRules) -> list[str]:
    """Advice, the most pressing first; empty if there is nothing to improve."""
    return [*_on_measuring(facts), *_on_events(facts, rules), *_on_items(facts)]


def _on_measuring(facts: Facts) -> list[str]:
    histories = facts.histories
    advice = []
    if histories.short_share == 1.0:
        advice.append(f"no user has {_words(FEWEST_MEASURED)} events: nothing can be measured; add older events")
    elif histories.short_share >= MANY_SHORT:
        advice.append(
            f"{histories.short_share:.0%} of users have fewer than {_words(FEWEST_MEASURED)} events: they are learned "
            "from, but not measured"
        )
    measured = round(histories.users * (1 - histories.short_share))
    if 0 < measured < FEW_USERS:
        advice.append(f"only {counted(measured, 'user')} can be measured: expect wide intervals in every comparison")
    return advice


def _words(number: int) -> str:
    return {3: "three"}.get(number, str(number))


def _strongest(names: Collection[str], rules: InteractionRules) -> str | None:
    """The type to learn where others repeat: the heaviest by the rules, then by its name; None if none stands out."""
    weights = {name: (rules.of(name).weight, _usual_weight(name)) for name in names if rules.is_target(name)}
    strongest = max(weights, key=lambda name: weights[name], default=None)
    return strongest if len(set(weights.values())) > 1 else None


def _usual_weight(name: str) -> float:
    weight = weight_of(name)
    return weight if isinstance(weight, float) else 0.0


def _on_events(facts: Facts, rules: InteractionRules) -> list[str]:
    histories = facts.histories
    advice = []
    if histories.repeat_share >= MANY_REPEATS and rules.repeats == "keep":
        strongest = _strongest(facts.events_by_type, rules)
        targets = f' or targets = ["{strongest}"]' if strongest and not rules.targets else ""
        advice.append(f'{histories.repeat_share:.0%} of next events repeat the item: set repeats = "drop"{targets}')
    if len(facts.events_by_type) > 1 and not rules.types:
        advice.append(
            f"events of {len(facts.events_by_type)} types weigh the same: set a weight for each in [events], such as "
            + ", ".join(f"{name} = 1.0" for name in list(facts.events_by_type)[:1])
        )
    total = sum(facts.skipped.values()) + histories.events
    for name, number in facts.skipped.items():
        if number >= MANY_SKIPPED * total:
            advice.append(
                f"{counted(number, 'row')} of interactions without {name!r} are left out; if they are events, fill "
                "in the column, or name another"
            )
    if facts.unknown_items:
        advice.append(
            f"{counted(facts.unknown_items, 'event')} left out, of items that are not in the items table; add items "
            "that are still sold"
        )
    if facts.users_alike:
        advice.append(
            f"{counted(facts.users_alike, 'user id')} like another but for spaces, case or a trailing .0: if they are "
            "the same users, write each id in one way"
        )
    if facts.have_strangers:
        advice.append(
            "a file of interactions shares no user with the others, so no history joins them; name the column with "
            "the users' common ids as user_id"
        )
    if facts.are_undated:
        advice.append(
            "timestamps are numbers too small for seconds since 1970: they order events but do not date them; name "
            'the column as position, or set timestamp_format, such as "%Y%m%d"'
        )
    if not facts.has_times_of_day:
        advice.append("all times are midnight: events of one day are ordered as in the file; export times of day")
    if histories.ahead:
        advice.append(f"{counted(histories.ahead, 'event')} dated ahead of the clock; correct the clock")
    if histories.users > 1 and histories.largest_share >= ONE_USER and histories.longest > 20 * histories.median:
        advice.append(
            f"one user has {histories.largest_share:.0%} of all events; if it is a robot, or stands for all guests, "
            "leave it out"
        )
    return advice


def _on_items(facts: Facts) -> list[str]:
    items = facts.items
    advice = []
    if facts.has_picture_column and items.without_picture == items.total:
        advice.append("no item has a picture file: if the column holds urls, run clairo-train fetch-pictures")
    if facts.unreadable_pictures:
        advice.append(f"{counted(facts.unreadable_pictures, 'picture')} that cannot be decoded, counted as missing")
    if items.without_content:
        advice.append(
            f"{counted(items.without_content, 'item')} without words and picture: nothing tells them apart; add a title"
        )
    if items.alike:
        advice.append(
            f"{counted(items.alike, 'item')} with the words and picture of another: if variants, make them one item"
        )
    return advice
