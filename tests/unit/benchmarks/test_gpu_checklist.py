"""The GPU checklist: every part measures its rows in a trial, and one that fails costs its own rows alone."""

import dataclasses
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.checklist import OF_AGREEMENT, PARTS, Part, Setup, checklist, differs
from benchmarks.gpu.generate import like, unused_feature_sets, with_items
from benchmarks.gpu.run_parts import measured
from benchmarks.gpu.train import largest_difference
from benchmarks.report import Row
from benchmarks.speed.made_recommenders import TOKEN, NearRecurrent, NearTransformer, made_recommender


@pytest.fixture
def trial(tmp_path: Path) -> Setup:
    return Setup("cpu", is_small=True, seconds=0.0, folder=tmp_path)


def whole(setup: Setup) -> Setup:
    return dataclasses.replace(setup, device="cuda", is_small=False)


@pytest.mark.parametrize("name", [name for name in PARTS if name != "serve"])
def test_a_trial_of_a_part_measures_each_of_its_rows_and_meets_every_must(name, trial):
    part = PARTS[name]
    found = dict(row for step in import_module(part.module).steps(trial) for row in step())
    rows = [dataclasses.replace(row, value=found.pop(row.name, None)) for row in checklist(part, trial)]
    assert not found
    assert [row.name for row in rows if row.value is None or row.verdict == "missed"] == []


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_rows_have_distinct_names_and_in_a_trial_only_agreement_has_musts(part, trial):
    rows, trial_rows = checklist(part, whole(trial)), checklist(part, trial)
    assert len({row.name for row in rows}) == len(rows)
    assert any(row.must is not None and row.unit not in OF_AGREEMENT for row in rows)
    assert all(row.must is None for row in trial_rows if row.unit not in OF_AGREEMENT)
    assert any(row.must is not None for row in trial_rows)


def test_shares_of_the_time_add_up_to_all_of_it():
    assert sum(part.share for part in PARTS.values()) == pytest.approx(1.0)


def test_new_items_of_a_trial_have_feature_sets_of_their_own():
    generates = like(made_recommender(TOKEN, 100).ranked_by(None), None)
    added = unused_feature_sets(generates)
    assert len({tuple(of_item) for of_item in added}) == len(added) > 0
    assert len(with_items(generates, added).catalogue) == 100 + len(added)


@pytest.mark.parametrize(
    "encoder",
    [
        NearTransformer(8, num_layers=1, num_heads=2, max_history_items=5),
        NearRecurrent(8, width=4, max_history_items=5),
    ],
)
def test_made_history_encoders_compute_where_the_history_is(encoder):
    # torch refuses to mix devices, also with one that only knows shapes.
    assert encoder.eval().to("meta")(torch.empty(2, 3, 8, device="meta")).shape == (2, 3, 8)


def test_a_loss_that_is_not_a_number_misses_its_must():
    difference = largest_difference([1.0, 1.0, 1.0], [1.0, float("nan"), 1.0])
    assert differs("loss", 1e-3).verdict == ""
    assert dataclasses.replace(differs("loss", 1e-3), value=difference).verdict == "missed"


def test_a_step_that_fails_costs_its_own_rows_alone(trial):
    setup = dataclasses.replace(trial, seconds=1.5)
    *found, last = measured("tests.fake_parts.fails", setup, 600)
    assert [row for row in found if not isinstance(row, str)] == [("first", 1.5), ("second", 2.0)]
    assert last == ("third", 3.0)
    (problem,) = (row for row in found if isinstance(row, str))
    assert problem.startswith("tests.fake_parts.fails: ValueError: no kernel image is available (fails.py, line ")


def test_a_part_that_dies_is_named_and_keeps_what_it_measured(trial):
    assert list(measured("tests.fake_parts.dies", trial, 600)) == [
        ("first", 1.0),
        "tests.fake_parts.dies died, exit code 7",
    ]


def is_running(process_id: int) -> bool:
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # Killed; until its new parent has waited for it, it is a zombie.
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_part_that_is_stopped_takes_the_processes_along_that_it_started(trial):
    running = measured("tests.fake_parts.hangs", trial, 600)
    _, process_id = next(running)
    running.close()
    last_moment = time.monotonic() + 10
    while is_running(int(process_id)):
        assert time.monotonic() < last_moment


def test_a_part_that_hangs_is_stopped_in_time(trial):
    assert all(row[0] == "process id" for row in measured("tests.fake_parts.hangs", trial, 0.01))


def two_rows(_setup: Setup) -> list[Row]:
    return [
        Row("first", None, "x", "higher", 2.0),
        Row("second", None, "ms", "lower"),
        Row("third", None, "%", "higher", 1.0),
    ]


def test_the_file_is_written_after_each_row_and_unmeasured_rows_have_no_value(monkeypatch, tmp_path, trial):
    written: list[dict[str, float | None]] = []

    def write(_file: Path, _data: str, rows: list[Row], **_further: Any) -> None:
        written.append({row.name: row.value for row in rows})

    monkeypatch.setattr(gpu, "write_rows", write)
    parts = {name: Part(f"tests.fake_parts.{name}", 0.5, two_rows) for name in ("dies", "fails")}
    run = gpu.Checklist(parts, whole(trial), "a device", tmp_path / "rows.json")
    run.measure(3600)
    nothing = dict.fromkeys([f"{part}: {row}" for part in parts for row in ("first", "second", "third")])
    assert written[0] == nothing
    assert written[1] == nothing | {"dies: first": 1.0}
    assert written[-1]["fails: third"] == 3.0
    assert written[-1]["dies: second"] is None
    assert len(run.problems) == 2
    assert not run.has_passed
    assert run.summary == "2 passed, 1 failed, 2 of 6 rows not measured"


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_that_is_no_number_of_minutes_is_refused(text):
    with pytest.raises(gpu.ArgumentTypeError, match="expected a positive number of minutes"):
        gpu.minutes(text)
