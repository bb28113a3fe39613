"""`clairo-train check`: facts as counted by hand, and the advice that follows from them."""

from pathlib import Path

import pytest

from clairo_core.sequences import ItemSequences
from tests.checked_shop import DESCRIPTION, faults_of, write_shop
from training.datasets.check import check_dataset
from training.datasets.check.facts import history_facts


def test_facts_are_those_counted_by_hand(tmp_path):
    toml = DESCRIPTION[: DESCRIPTION.index('type = "kind"')]
    events = ("u-9,p-0,1700000000,view", "u-9,p-0,1700000060,view", "u-0,p-9,1700090000,view")
    check = check_dataset(write_shop(tmp_path, ("p-8,Cup 1,1,", "p-9,,1,"), events, toml))
    facts = check.facts
    assert facts is not None
    assert list(check.faults) == []
    assert (facts.items.total, facts.items.without_words, facts.items.without_picture) == (8, 1, 2)
    assert (facts.items.without_content, facts.items.alike, facts.items.never_chosen) == (1, 0, 1)
    histories = facts.histories
    assert (histories.users, histories.events, histories.shortest, histories.longest) == (5, 15, 2, 4)
    assert histories.lengths["2"] == 1
    assert histories.lengths["3-4"] == 4
    assert histories.short_share == 1 / 5
    assert histories.repeat_share == histories.seen_share == 1 / 10
    assert (histories.first_day, histories.last_day) == ("2023-11-14", "2023-11-15")


@pytest.mark.parametrize("time", ["0", "1700000000500", "-5"])
def test_a_time_in_another_unit_or_none_is_a_fault(tmp_path, time):
    (fault,) = faults_of(write_shop(tmp_path, events=(f"u-1,p-0,{time},view",)))
    assert fault.startswith(
        f"events.csv row 14, field 'at': got '{time}', expected a time since 1970 (May 1970 to 2286"
    )


def test_timestamps_that_date_nothing_are_advised(tmp_path):
    folder = write_shop(tmp_path)
    (folder / "events.csv").write_text("user,sku,at,kind\nu,p-0,20240105,view\nu,p-1,20240106,view\n")
    assert any("do not date them" in line for line in check_dataset(folder).advice)
    dated = DESCRIPTION.replace('timestamp = "at"', 'timestamp = "at"\ntimestamp_format = "%Y%m%d"')
    (folder / "dataset.toml").write_text(dated)
    check = check_dataset(folder)
    assert check.facts is not None
    assert check.facts.histories.first_day == "2024-01-05"
    assert not any("do not date them" in line for line in check.advice)


def test_users_written_in_two_ways_are_advised(tmp_path):
    check = check_dataset(write_shop(tmp_path, events=("U-1,p-0,1700000000,view", '"u-2 ",p-0,1700000000,view')))
    assert "  2 user ids like another but for spaces, case or a trailing .0" in str(check)
    assert "shares no user" not in str(check)


def test_files_whose_users_never_meet_are_advised(tmp_path):
    toml = DESCRIPTION.replace("[interactions]", "[[interactions]]").split("[events]")
    orders = '[[interactions]]\nfile = "orders.csv"\nuser_id = "user"\nitem_id = "sku"\n'
    folder = write_shop(tmp_path, toml=f'{toml[0]}{orders}timestamp = "at"\nevent = "purchase"\n[events]{toml[1]}')
    for user, is_stranger in (("u-1", False), ("customer-1", True)):
        (folder / "orders.csv").write_text(f"user,sku,at\n{user},p-0,1700009000\n")
        assert ("shares no user" in str(check_dataset(folder))) == is_stranger


def test_rows_left_out_are_counted_by_the_reason(tmp_path):
    toml = DESCRIPTION.replace('type = "kind"', 'type = "kind"\nskip_without = ["user", "sku"]\ntargets = ["purchase"]')
    events = (",p-0,1700000000,view", "u-1,,1700000000,view", "u-1,,1700000001,view", "u-0,p-2,1700000500,view")
    check = check_dataset(write_shop(tmp_path, events=events, toml=toml))
    assert check.facts is not None
    assert check.facts.skipped == {"user": 1, "sku": 2}
    assert check.facts.steps == 1
    assert "left out   1 row without 'user', 2 rows without 'sku', 1 event as steps to a target" in str(check)
    assert "2 rows of interactions without 'sku' are left out; if they are events" in str(check)


def test_a_file_read_twice_is_counted_in_each_form(tmp_path):
    tables = [
        '[[interactions]]\nfile = "events.csv"\nuser_id = "user"\nitem_id = "sku"\n'
        f'timestamp = "{time}"\nevent = "{event}"\nskip_without = ["{time}"]\n'
        for time, event in (("at", "purchase"), ("returned", "return"))
    ]
    of_items = DESCRIPTION[: DESCRIPTION.index("[interactions]")]
    events = '[events]\npurchase = 1.0\nreturn = "negative"\n'
    folder = write_shop(tmp_path, toml="".join([of_items, *tables, events]))
    rows = ("u,p-0,1700000000,", "u,p-1,1700000001,1700000009", "u,p-2,1700000002,")
    (folder / "events.csv").write_text("\n".join(("user,sku,at,returned", *rows)) + "\n")
    check = check_dataset(folder)
    assert check.facts is not None
    assert (check.facts.unknown_items, check.facts.skipped) == (0, {"returned": 2})
    assert check.facts.events_by_type == {"purchase": 3, "return": 1}
    assert check.facts.histories.events == 2


def test_rows_that_no_condition_fits_are_counted(tmp_path):
    toml = (
        DESCRIPTION.replace('type = "kind"', "").split("[events]")[0] + '[events]\nlate = {when = "at >= 1700000100"}\n'
    )
    check = check_dataset(write_shop(tmp_path, toml=toml))
    assert check.facts is not None
    assert check.facts.unmatched == 3
    assert "left out   3 rows that no condition fits" in str(check)


def test_repeats_of_the_item_before_and_of_any_earlier_one_are_told_apart():
    facts = history_facts(ItemSequences.from_lists([[1, 1, 2, 1], [], [2, 2]]), None, today=0.0)
    assert facts.repeat_share == 2 / 4
    assert facts.seen_share == 3 / 4
    assert facts.lengths == {"1": 0, "2": 1, "3-4": 1, "5-9": 0, "10-19": 0, "20-49": 0, "50-99": 0, "100+": 0}


def advice_on(folder: Path) -> list[str]:
    check = check_dataset(folder)
    assert list(check.faults) == []
    return check.advice


def test_repeated_views_are_advised_to_drop(tmp_path):
    repeats = tuple(f"u-1,p-1,{1_700_001_000 + place},view" for place in range(8))
    advice = advice_on(write_shop(tmp_path, events=repeats))
    assert '44% of next events repeat the item: set repeats = "drop" or targets = ["purchase"]' in advice


@pytest.mark.parametrize(
    ("events", "advised"),
    [
        # A target must be positive: the refund is not.
        ('"purchase refund" = "negative"\nsold = 1.0\nview = 0.2', "sold"),
        ('"purchase refund" = "negative"\nkauf = 1.0\nview = 1.0', "kauf"),
        ('"purchase refund" = "negative"\nview = 1.0', None),
    ],
)
def test_the_strongest_positive_type_is_advised_as_target(tmp_path, events, advised):
    sold = events.splitlines()[1].partition(" ")[0]
    lines = [f"u-1,p-1,{1_700_001_000 + place},view" for place in range(8)]
    lines += [f"u-2,p-1,1700001000,{sold}", "u-2,p-2,1700001000,purchase refund"]
    toml = DESCRIPTION.replace("purchase = 1.0\nview = 0.2", events).replace("events.csv", "few.csv")
    folder = write_shop(tmp_path, toml=toml)
    (folder / "few.csv").write_text("\n".join(["user,sku,at,kind", *lines]) + "\n")
    (advice,) = (line for line in advice_on(folder) if "repeat the item" in line)
    assert advice.endswith('set repeats = "drop"' + (f' or targets = ["{advised}"]' if advised else ""))


def test_a_table_that_cannot_be_measured_is_reported(tmp_path):
    toml = DESCRIPTION.replace("events.csv", "few.csv")
    folder = write_shop(tmp_path, toml=toml)
    (folder / "few.csv").write_text("user,sku,at,kind\nu-1,p-1,1700000000,view\nu-1,p-2,1700000001,view\n")
    assert "no user has three events: nothing can be measured; add older events" in advice_on(folder)
