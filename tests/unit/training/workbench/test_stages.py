"""The stage cache: nothing is computed twice, and a kill leaves nothing half-done."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import TrainingError
from training.workbench.stage_cache import FORMAT, StageCache, digest_of, only_one_process


def test_a_stage_is_built_once_for_the_same_inputs(tmp_path: Path) -> None:
    stages, calls = StageCache(tmp_path), []

    def build(folder: Path) -> None:
        calls.append(folder)
        (folder / "result").write_text("42", encoding="utf-8")

    first = stages.run("answer", {"question": 6}, build)
    again = stages.run("answer", {"question": 6}, build)
    other = stages.run("answer", {"question": 7}, build)
    assert first == again != other
    assert len(calls) == 2
    assert (first / "result").read_text(encoding="utf-8") == "42"


def test_a_stage_that_died_goes_on_from_what_it_left(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)

    def dies(folder: Path) -> None:
        (folder / "half").write_text("1", encoding="utf-8")
        raise KeyboardInterrupt

    def goes_on(folder: Path) -> None:
        half = (folder / "half").read_text(encoding="utf-8")
        (folder / "whole").write_text(half + "2", encoding="utf-8")

    with pytest.raises(KeyboardInterrupt):
        stages.run("long", {}, dies)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".partial"]
    assert (stages.run("long", {}, goes_on) / "whole").read_text(encoding="utf-8") == "12"


def test_two_runs_do_not_build_one_stage_at_once(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    partial = tmp_path / f"shared-{digest_of({'format': FORMAT})}.partial"
    partial.mkdir()
    with (
        only_one_process(partial / "lock", "shared"),
        pytest.raises(TrainingError, match="another process"),
    ):
        stages.run("shared", {}, lambda folder: None)


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.lists(st.integers())))
def test_a_digest_depends_on_content_and_not_on_order(inputs: dict[str, object]) -> None:
    backwards = dict(reversed(list(inputs.items())))
    assert digest_of(inputs) == digest_of(backwards)
    assert digest_of(inputs) != digest_of({**inputs, "one more key\x00": 1})
