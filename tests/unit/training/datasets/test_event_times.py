"""When interactions happened: by the column's declaration and its numbers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datasets import load_dataset
from training.datasets.event_times import days_since_1970, in_one_unit

ITEMS = "item_id,title\na,A\nb,B\nc,C\n"


def dataset_of(folder: Path, events: str, column: str = 'timestamp = "at"') -> Path:
    (folder / "items.csv").write_text(ITEMS)
    (folder / "events.csv").write_text(events)
    (folder / "dataset.toml").write_text(
        'name = "shop"\n[items]\nfile = "items.csv"\ntexts = ["title"]\n'
        f'[interactions]\nfile = "events.csv"\n{column}\n'
    )
    return folder


@pytest.mark.parametrize("per_second", [1, 1000, 10**6, 10**9])
def test_the_unit_of_numbers_follows_from_their_size(per_second: int) -> None:
    seconds = np.array([1_700_000_000, 1_700_086_400, 1_500_000_000])
    days = days_since_1970(seconds * per_second)
    assert days is not None
    np.testing.assert_allclose(days, seconds / 86_400, atol=0.002)


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 1000, 10**6]), st.lists(st.integers(10**9, 2 * 10**9), min_size=1, max_size=5)),
        min_size=1,
        max_size=4,
    )
)
def test_times_of_several_tables_are_joined_in_one_unit(tables: list[tuple[int, list[int]]]) -> None:
    joined = in_one_unit([np.array(seconds) * per_second for per_second, seconds in tables])
    expected = np.array([one for _, seconds in tables for one in seconds])
    assert (joined / expected).tolist() == [joined[0] / expected[0]] * len(expected)


def test_positions_of_several_tables_stay_and_a_stray_time_stays_the_latest() -> None:
    assert in_one_unit([np.array([1, 5]), np.array([3])]).tolist() == [1, 5, 3]
    joined = in_one_unit([np.array([1_700_000_000, 1_700_000_001, 2**62]), np.array([1_700_000_000_000])])
    assert joined.argmax() == 2
    assert joined[0] == joined[3]


@pytest.mark.parametrize(
    ("written", "column", "units"),
    [
        ("1700000000", 'timestamp = "at"', ("seconds",)),
        ("1700000000500", 'timestamp = "at"', ("milliseconds",)),
        ("1700000000.5", 'timestamp = "at"', ("seconds",)),
        ("2023-11-14", 'timestamp = "at"', ()),
        ("20231114", 'timestamp = "at"\ntimestamp_format = "%Y%m%d"', ()),
        ("1700000000", 'position = "at"', ()),
    ],
)
def test_the_unit_that_numbers_are_read_in_is_said(
    tmp_path: Path, written: str, column: str, units: tuple[str, ...]
) -> None:
    dataset = load_dataset(dataset_of(tmp_path, f"user_id,item_id,at\nann,a,{written}\n", column))
    assert dataset.time_units == units


def test_small_numbers_are_positions() -> None:
    assert days_since_1970(np.arange(1000)) is None
    assert days_since_1970(np.zeros(0)) is None


@pytest.mark.parametrize("written", ["2023-11-14T22:13:20Z", "1700000000", "1700000000.0", "1700000000000"])
def test_a_dataset_holds_the_day_of_each_interaction_in_the_order_of_its_sequences(
    tmp_path: Path, written: str
) -> None:
    earlier = written.replace("2023", "2022").replace("17000", "16000")
    events = f"user_id,item_id,at\nann,a,{written}\nbob,b,{earlier}\nann,c,{earlier}\n"
    dataset = load_dataset(dataset_of(tmp_path, events))
    assert [dataset.items[row].item_id for row in dataset.sequences.items] == ["c", "a", "b"]
    assert dataset.days is not None
    assert dataset.days[1] == pytest.approx(1_700_000_000 / 86_400, abs=0.002)
    assert dataset.days[0] == dataset.days[2] < dataset.days[1] - 300


def test_positions_have_no_days(tmp_path: Path) -> None:
    events = "user_id,item_id,at\nann,a,1700000000\nann,c,1700000001\n"
    assert load_dataset(dataset_of(tmp_path, events, 'position = "at"')).days is None
