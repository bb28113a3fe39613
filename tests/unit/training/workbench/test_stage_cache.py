"""The stage cache: nothing is computed twice, a kill leaves nothing half-done, and several runs share it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import TrainingError
from tests.repository import REPOSITORY
from training.workbench.stage_cache import StageCache, digest_of

OTHER_RUN = """
import sys
from pathlib import Path
from training.workbench.stage_cache import StageCache

def build(folder):
    print("building", flush=True)
    if sys.argv[2] == "builds":
        sys.stdin.readline()
    (folder / "result").write_text("theirs")

stages = StageCache(Path(sys.argv[1]))
print(stages.run("shared", {}, build, lambda folder: (folder / "result").read_text()).result, flush=True)
sys.stdin.readline()
"""


def writes(text: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        (folder / "result").write_text(text, encoding="utf-8")

    return build


def result(folder: Path) -> str:
    return (folder / "result").read_text(encoding="utf-8")


@contextmanager
def another_run(folder: Path, what: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that `builds` the stage `shared` until it reads a line, or `uses` it."""
    command = [sys.executable, "-c", OTHER_RUN, str(folder), what]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        if what == "uses":
            assert process.stdout.readline() == "theirs\n"
        yield process
        process.kill()


def test_a_stage_is_built_once_for_the_same_inputs(tmp_path: Path) -> None:
    stages, calls = StageCache(tmp_path), []

    def build(folder: Path) -> None:
        calls.append(folder)
        writes("42")(folder)

    first = stages.run("answer", {"question": 6}, build, result)
    again = stages.run("answer", {"question": 6}, build, result)
    other = stages.run("answer", {"question": 7}, build, result)
    assert first == again != other
    assert len(calls) == 2
    assert first.result == "42"


def test_an_interrupted_stage_resumes_from_its_folder(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)

    def dies(folder: Path) -> None:
        (folder / "half").write_text("1", encoding="utf-8")
        raise KeyboardInterrupt

    def resumes(folder: Path) -> None:
        writes((folder / "half").read_text(encoding="utf-8") + "2")(folder)

    with pytest.raises(KeyboardInterrupt):
        stages.run("long", {}, dies, result)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".partial"]
    assert stages.run("long", {}, resumes, result).result == "12"


def test_a_stage_whose_result_cannot_be_read_back_is_not_finished(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    with pytest.raises(TrainingError, match="its result cannot be read back"):
        stages.run("empty", {}, lambda folder: None, result)
    assert stages.run("empty", {}, writes("now"), result).result == "now"


def test_what_its_loader_refuses_is_not_taken_for_work_done(tmp_path: Path) -> None:
    stages, found = StageCache(tmp_path), []

    def goes_on(folder: Path) -> None:
        found.append((folder / "done").exists())
        (folder / "done").touch()

    for _ in range(2):
        with pytest.raises(TrainingError, match="run again"):
            stages.run("broken", {}, goes_on, result)
    assert found == [False, False]


def test_a_loader_that_lacks_memory_costs_no_result(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)

    def lacks_memory(_folder: Path) -> str:
        raise MemoryError

    with pytest.raises(TrainingError, match="run again"):
        stages.run("long", {}, writes("weights"), lacks_memory)
    assert stages.run("long", {}, lambda folder: None, result).result == "weights"


def test_a_finished_stage_that_was_damaged_is_named(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    stage = stages.run("answer", {}, writes("42"), result)
    (stage.folder / "result").unlink()
    with pytest.raises(TrainingError, match=rf"stage answer: the result in {stage.folder}"):
        stages.run("answer", {}, writes("43"), result)


def test_two_runs_do_not_build_one_stage_at_once(tmp_path: Path) -> None:
    with another_run(tmp_path, "builds"), pytest.raises(TrainingError, match="being built by another process"):
        StageCache(tmp_path).run("shared", {}, writes("ours"), result)


def test_a_stage_that_another_run_finishes_meanwhile_is_not_built_again(tmp_path: Path) -> None:
    class LooksTooEarly(StageCache):
        def _use(self, finished: Path) -> bool:
            found = super()._use(finished)
            StageCache(tmp_path).run("shared", {}, writes("theirs"), result)
            return found

    assert LooksTooEarly(tmp_path).run("shared", {}, writes("ours"), result).result == "theirs"
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("what", ["builds", "uses"])
def test_a_stage_that_another_run_builds_or_uses_is_not_removed(tmp_path: Path, what: str) -> None:
    news: list[str] = []
    stages = StageCache(tmp_path, news.append)
    stages.run("ours", {}, writes("ours"), result)
    with another_run(tmp_path, what) as process:
        stages.remove_unused()
        (theirs,) = tmp_path.iterdir()
        assert theirs.name.startswith("shared-")
        assert f"{theirs} stays: another run uses it" in news
        if what == "builds":
            output, _ = process.communicate("\n\n")
            assert output == "theirs\n", "the other run ends undisturbed"
    stages.remove_unused()
    assert not list(tmp_path.iterdir())


def test_kept_folders_and_files_stay(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "note.txt").touch()
    stages.run("ours", {}, writes("ours"), result)
    stages.remove_unused(keep=("embeddings",))
    assert {path.name for path in tmp_path.iterdir()} == {"embeddings", "note.txt"}


def test_a_stage_that_was_removed_is_built_again(tmp_path: Path) -> None:
    stages = StageCache(tmp_path)
    stages.run("ours", {}, writes("first"), result)
    StageCache(tmp_path).remove_unused()
    assert stages.run("ours", {}, writes("second"), result).result == "first", "this run still uses it"
    stages.remove_unused()
    assert stages.run("ours", {}, writes("second"), result).result == "second"


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.lists(st.integers())))
def test_a_digest_depends_on_content_and_not_on_order(inputs: dict[str, object]) -> None:
    backwards = dict(reversed(list(inputs.items())))
    assert digest_of(inputs) == digest_of(backwards)
    assert digest_of(inputs) != digest_of({**inputs, "one more key\x00": 1})
