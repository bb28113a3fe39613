"""Interactions with types: which are read, which teach, what is disliked, and rows of several tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import DatasetError, RowError
from clairo_core.events import Condition, EventType, InteractionRules
from clairo_core.items import Item
from training.datasets import Dataset, load_dataset
from training.datasets.event_types import NO_TYPE, read_types
from training.datasets.tables.table_files import SourceTable
from training.datasets.user_sequences import Interactions, build_sequences

ITEMS = [{"item_id": item} for item in ("hat", "cup", "shoe")]
SHOP = """
[events]
purchase = 1.0
view = 0.25
wish = {weight = 0.5, history = false}
return = "negative"
impression = "impression"
search = "ignored"
"""
Rows = list[dict[str, Any]]


def rows_of(*events: str) -> Rows:
    """`ann view hat` at 1, 2, ...; a number at the end is another time."""
    rows: Rows = []
    for place, event in enumerate(events, 1):
        user, name, item, *at = event.split()
        rows.append({"user_id": user, "type": name, "item_id": item, "at": int(at[0]) if at else place})
    return rows


def load(
    folder: Path, tables: dict[str, Rows], events: str = SHOP, mapping: str = 'type = "type"', rules: str = ""
) -> Dataset:
    pq.write_table(pa.Table.from_pylist(ITEMS), folder / "items.parquet")
    text = '[items]\nfile = "items.parquet"\ntexts = ["item_id"]\n'
    for number, (name, rows) in enumerate(tables.items()):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
        text += (
            f'[[interactions]]\nfile = "{name}.parquet"\ntimestamp = "at"\n{mapping}\n{rules if number == 0 else ""}\n'
        )
    (folder / "dataset.toml").write_text(text + events)
    return load_dataset(folder)


def histories(dataset: Dataset) -> dict[str, list[tuple[str, float, bool]]]:
    sequences = dataset.sequences
    is_target = np.ones(len(sequences.items), dtype=bool) if sequences.is_target is None else sequences.is_target
    positions = zip(sequences.items, sequences.each_weight, is_target, strict=True)
    flat = [(dataset.items[item].item_id, float(weight), bool(target)) for item, weight, target in positions]
    return {
        user: flat[begin:end]
        for user, begin, end in zip(dataset.user_ids, sequences.offsets[:-1], sequences.offsets[1:], strict=True)
    }


def dislikes(dataset: Dataset) -> dict[str, list[str]]:
    assert dataset.dislikes is not None
    return {
        user: [dataset.items[item].item_id for item in items]
        for user, items in zip(dataset.user_ids, dataset.dislikes, strict=True)
    }


def test_positive_events_are_read_with_their_weights(tmp_path):
    rows = rows_of("ann view hat", "ann purchase cup", "ann impression shoe", "ann wish shoe", "ann search hat")
    dataset = load(tmp_path, {"log": rows})
    assert histories(dataset) == {"ann": [("hat", 0.25, True), ("cup", 1, True)]}
    assert dataset.dislikes is None
    assert dataset.event_counts is not None
    assert dataset.event_counts.by_type == {"view": 1, "purchase": 1, "impression": 1, "wish": 1, "search": 1}


def test_steps_of_a_purchase_are_left_out_and_other_views_stay(tmp_path):
    rows = rows_of("ann view hat", "ann view cup", "ann purchase hat", "ann view hat")
    dataset = load(tmp_path, {"log": rows}, rules='targets = ["purchase"]')
    assert histories(dataset) == {"ann": [("cup", 0.25, False), ("hat", 1, True)]}
    assert dataset.event_counts is not None
    assert dataset.event_counts.num_steps == 2


def test_without_repeats_the_first_time_and_the_heaviest_type_remain(tmp_path):
    rows = rows_of("ann view hat", "ann view cup", "ann purchase hat")
    dataset = load(tmp_path, {"log": rows}, rules='targets = ["purchase"]\nrepeats = "drop"')
    assert histories(dataset) == {"ann": [("hat", 1, True), ("cup", 0.25, False)]}


def test_events_at_one_time_on_one_item_are_one(tmp_path):
    rows = rows_of("ann view hat 7", "ann purchase hat 7", "ann view hat 7", "ann view hat 8")
    assert histories(load(tmp_path, {"log": rows})) == {"ann": [("hat", 1, True), ("hat", 0.25, True)]}


def test_a_returned_item_leaves_the_history_until_a_target_brings_it_back(tmp_path):
    rows = rows_of("ann purchase hat", "ann return hat", "ann view hat", "ann purchase cup")
    rules = 'targets = ["purchase"]'
    dataset = load(tmp_path, {"log": rows}, rules=rules)
    assert histories(dataset) == {"ann": [("cup", 1, True)]}
    assert dislikes(dataset) == {"ann": ["hat"]}
    assert dataset.dislike_places is not None
    assert dataset.dislike_places.tolist() == [0]
    dataset = load(tmp_path, {"log": [*rows, *rows_of("ann purchase hat 9")]}, rules=rules)
    assert histories(dataset) == {"ann": [("hat", 1, True), ("cup", 1, True), ("hat", 1, True)]}
    assert dataset.dislikes is None


def test_positive_events_on_a_disliked_item_are_counted(tmp_path):
    rows = rows_of("ann view hat", "ann wish hat", "ann impression hat", "ann return hat", "ann view cup")
    rows += rows_of("bob view hat", "bob return hat", "bob purchase hat")
    dataset = load(tmp_path, {"log": rows}, rules='targets = ["purchase"]')
    assert dataset.event_counts is not None
    assert dataset.event_counts.num_of_disliked == 2


def test_dislikes_know_how_much_of_the_history_came_before(tmp_path):
    rows = rows_of(
        "bob view hat", "ann view hat", "ann return cup", "ann view shoe", "bob return shoe", "eve return cup"
    )
    dataset = load(tmp_path, {"log": rows})
    assert dislikes(dataset) == {"bob": ["shoe"], "ann": ["cup"]}
    assert dataset.dislike_places is not None
    assert dataset.dislike_places.tolist() == [1, 1]


def test_positive_events_that_are_not_read_are_kept_for_popularity(tmp_path):
    dataset = load(tmp_path, {"log": rows_of("eve wish cup", "ann wish shoe", "ann view hat")})
    assert dataset.user_ids == ("ann",)
    assert dataset.unread is not None
    assert [items.tolist() for items in dataset.unread.items] == [[2], [1]]
    assert dataset.unread.items.each_weight.tolist() == [0.5, 0.5]


def test_values_decide_by_conditions_and_the_rest_is_counted(tmp_path):
    rows = [
        {"user_id": "ann", "item_id": item, "at": at, "stars": stars}
        for at, (item, stars) in enumerate([("hat", "4.5"), ("cup", "2"), ("shoe", "3"), ("shoe", "")])
    ]
    events = '[events]\nliked = {when = "stars >= 4"}\nhated = {counts = "negative", when = "stars < 3"}'
    dataset = load(tmp_path, {"log": rows}, events=events, mapping="")
    assert histories(dataset) == {"ann": [("hat", 1, True)]}
    assert dislikes(dataset) == {"ann": ["cup"]}
    assert dataset.event_counts is not None
    assert dataset.event_counts.num_unmatched == 2
    rows[1]["stars"] = "two"
    with pytest.raises(RowError, match=r"log.parquet row 2, field 'stars': got 'two', expected a number"):
        load(tmp_path, {"log": rows}, events=events, mapping="")


def test_a_type_without_a_rule_is_refused_by_row(tmp_path):
    rows = rows_of("ann view hat", "ann glance hat")
    with pytest.raises(RowError, match=r"row 2, field 'type': type 'glance' is not declared; declare it in \[events\]"):
        load(tmp_path, {"log": rows})
    rows[1]["type"] = None
    with pytest.raises(RowError, match="row 2, field 'type': the type is missing"):
        load(tmp_path, {"log": rows})
    rows[1]["type"] = "dislike"
    assert dislikes(load(tmp_path, {"log": rows_of("ann view hat", "ann dislike cup")})) == {"ann": ["cup"]}


def test_ignored_rows_need_no_item(tmp_path):
    rows = rows_of("ann search hat", "ann view cup")
    rows[0]["item_id"] = None
    dataset = load(tmp_path, {"log": rows})
    assert histories(dataset) == {"ann": [("cup", 0.25, True)]}
    assert dataset.event_counts is not None
    assert dataset.event_counts.by_type == {"view": 1, "search": 1}
    assert dataset.event_counts.num_unmatched == 0


def test_rows_that_no_rule_fits_need_no_item_and_errors_name_the_row_of_the_file(tmp_path):
    events = '[events]\nliked = {when = "stars >= 4"}'
    rows = [
        {"user_id": "ann", "item_id": None, "at": None, "stars": 1},
        {"user_id": "ann", "item_id": "hat", "at": 1, "stars": 5},
    ]
    assert histories(load(tmp_path, {"log": rows}, events=events, mapping="")) == {"ann": [("hat", 1, True)]}
    rows[1]["item_id"] = "sock"
    with pytest.raises(RowError, match="row 2, field 'item_id': item 'sock' is not in the items table"):
        load(tmp_path, {"log": rows}, events=events, mapping="")


def test_several_tables_join_in_order_of_time_whatever_its_unit(tmp_path):
    second = 1_700_000_000
    orders = [{"user_id": "ann", "item_id": "hat", "type": "purchase", "at": second + 2}]
    clicks = [
        {"user_id": user, "item_id": item, "type": "view", "at": 1000 * second + after}
        for user, item, after in (("eve", "cup", 0), ("ann", "cup", 1500), ("ann", "shoe", 2500))
    ]
    dataset = load(tmp_path, {"orders": orders, "clicks": clicks})
    assert dataset.user_ids == ("ann", "eve")
    assert histories(dataset)["ann"] == [("cup", 0.25, True), ("hat", 1, True), ("shoe", 0.25, True)]
    assert dataset.days is not None
    assert dataset.days == pytest.approx(second / 86_400, abs=0.01)


def test_times_beside_positions_are_refused(tmp_path):
    load(tmp_path, {"log": rows_of("ann view hat"), "more": rows_of("ann view cup")})
    toml = tmp_path / "dataset.toml"
    toml.write_text(toml.read_text().replace('"more.parquet"\ntimestamp', '"more.parquet"\nposition'))
    with pytest.raises(DatasetError, match=r"log.parquet has timestamps, but .*more.parquet positions"):
        load_dataset(tmp_path)


def test_targets_without_types_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="targets are 'purchase', but rows have no type"):
        load(tmp_path, {"log": rows_of("ann view hat")}, events="", mapping="", rules='targets = ["purchase"]')


def test_a_missing_column_of_conditions_is_named(tmp_path):
    events = '[events]\nview = {when = "seconds > 3"}'
    with pytest.raises(DatasetError, match="there is no column 'seconds'"):
        load(tmp_path, {"log": rows_of("ann view hat")}, events=events)


def test_types_that_are_all_alike_change_nothing(tmp_path):
    rows = rows_of("ann view hat", "bob purchase cup", "ann purchase cup")
    alike = load(tmp_path, {"log": rows}, events="[events]\nview = 1\npurchase = 1")
    plain = load(tmp_path, {"log": rows}, events="", mapping="")
    assert alike.fingerprint == plain.fingerprint
    assert histories(alike) == histories(plain)
    assert load(tmp_path, {"log": rows}).fingerprint != plain.fingerprint


names = st.sampled_from(["view", "buy", "rate", "dislike", "impression", None])
meanings = st.sampled_from(["positive", "negative", "ignored"])
conditions = st.builds(
    Condition, st.just("value"), st.sampled_from([">=", "<=", "==", ">", "<"]), st.integers(0, 3).map(float)
)
event_types = st.builds(EventType, meaning=meanings, when=st.none() | conditions)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["view", "buy", "rate", "impression", "liked", "hated"]), event_types, min_size=1),
    st.lists(st.tuples(names, st.none() | st.integers(0, 3).map(float)), min_size=1),
)
def test_types_of_all_rows_are_those_of_each(types, rows):
    rules = InteractionRules(types=types)
    table = pa.table(
        {"type": pa.array([name for name, _ in rows], pa.string()), "value": pa.array([one for _, one in rows], "f8")}
    )
    source = SourceTable(Path("log.parquet"), table)
    expected = [rules.type_of(name, value) for name, value in rows]
    is_undeclared = [
        one is None and value is None and name not in types for one, (name, value) in zip(expected, rows, strict=True)
    ]
    if any(is_undeclared):
        with pytest.raises(RowError, match=f"row {is_undeclared.index(True) + 1}, field 'type'"):
            read_types(source, "type", None, "value", rules)
    else:
        found = read_types(source, "type", None, "value", rules)
        assert [None if code == NO_TYPE else found.names[code] for code in found.codes] == expected


SLOW_RULES = InteractionRules(
    types={
        "purchase": EventType(),
        "view": EventType(weight=0.25),
        "wish": EventType(weight=0.5, is_read=False),
        "return": EventType(meaning="negative"),
        "shown": EventType(meaning="impression"),
    }
)
ITEM_ROWS = tuple(Item(item_id=str(row)) for row in range(4))
TYPE_NAMES = tuple(SLOW_RULES.types)
events = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 4), st.integers(0, len(TYPE_NAMES) - 1))


def slow_sequences(
    rows: list[tuple[int, int, int, int]], rules: InteractionRules
) -> tuple[dict[int, list[tuple[int, float, bool]]], dict[int, list[int]]]:
    """Histories and dislikes of users, event by event, as one would tell it."""
    ordered = sorted(rows, key=lambda row: row[2])
    disliked: dict[int, list[int]] = {}
    for user, item, _, code in ordered:
        name, of_user = TYPE_NAMES[code], disliked.setdefault(user, [])
        if item in of_user and (rules.of(name).meaning == "negative" or rules.lifts_dislike(name)):
            of_user.remove(item)
        if rules.of(name).meaning == "negative":
            of_user.append(item)
    histories: dict[int, list[tuple[int, float, bool]]] = {}
    for user in {row[0] for row in rows}:
        of_user: list[list[Any]] = []
        for _, item, at, code in (row for row in ordered if row[0] == user and row[1] not in disliked[user]):
            one, is_target = rules.of(TYPE_NAMES[code]), rules.is_target(TYPE_NAMES[code])
            if one.meaning != "positive" or not one.is_read:
                continue
            same = [e for e in of_user if e[0] == item and (rules.repeats == "drop" or e[1] == at)]
            if same:
                same[0][2:] = [max(same[0][2], one.weight), same[0][3] or is_target]
            else:
                of_user.append([item, at, one.weight, is_target])
        bought = {item for item, _, _, is_target in of_user if is_target}
        histories[user] = [(e[0], e[2], e[3]) for e in of_user if e[3] or e[0] not in bought]
    return {user: one for user, one in histories.items() if one}, disliked


@settings(deadline=None)
@given(st.lists(events, min_size=1, max_size=25), st.booleans(), st.booleans())
def test_sequences_match_the_slow_reference(rows, has_targets, drops):
    rules = InteractionRules(
        types=SLOW_RULES.types,
        targets=("purchase",) if has_targets else (),
        repeats="drop" if drops else "keep",
    )
    users, items, order, codes = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    expected, disliked = slow_sequences(rows, rules)
    interactions = Interactions(
        pa.array(["a", "b", "c"], pa.large_string()), users, items, order.astype(np.int64), TYPE_NAMES, codes
    )
    if not expected:
        with pytest.raises(DatasetError, match="none of"):
            build_sequences(interactions, np.ones(4, dtype=bool), rules, source_name="log", is_time=False)
        return
    built = build_sequences(interactions, np.ones(4, dtype=bool), rules, source_name="log", is_time=False)
    assert built.user_ids == tuple("abc"[user] for user in sorted(expected))
    dataset = Dataset("made up", ITEM_ROWS, built.user_ids, built.sequences, None, (), (), False, None, "")
    assert histories(dataset) == {
        "abc"[user]: [(str(item), weight, target) for item, weight, target in one] for user, one in expected.items()
    }
    found = [one.tolist() for one in built.dislikes.items] if built.dislikes else [[] for _ in expected]
    assert found == [disliked[user] for user in sorted(expected)]


def test_tables_without_a_fitting_row_add_nothing_and_alone_are_refused(tmp_path):
    events = '[events]\nliked = {when = "stars >= 4"}'
    low, high = ([{"user_id": "ann", "item_id": "hat", "at": 1, "stars": stars}] for stars in (1, 5))
    dataset = load(tmp_path, {"low": low, "high": high}, events=events, mapping="")
    assert histories(dataset) == {"ann": [("hat", 1, True)]}
    with pytest.raises(DatasetError, match=r"none of 0 interactions .* count more types as positive"):
        load(tmp_path, {"low": low}, events=events, mapping="")


def test_a_table_of_one_type_stands_beside_one_of_ratings(tmp_path):
    ratings = [{"user_id": "ann", "item_id": "hat", "at": 1, "stars": 5}]
    orders = [{"user_id": "ann", "item_id": "cup", "at": 2}]
    load(tmp_path, {"ratings": ratings, "orders": orders}, events="", mapping="")
    toml = tmp_path / "dataset.toml"
    text = toml.read_text().replace('"orders.parquet"\n', '"orders.parquet"\nevent = "purchase"\n')
    toml.write_text(text + '[events]\npurchase = 2\nliked = {weight = 0.5, when = "stars >= 4"}\n')
    assert histories(load_dataset(tmp_path)) == {"ann": [("hat", 0.5, True), ("cup", 2, True)]}
