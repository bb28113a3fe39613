"""Progress is a bar on a terminal and a line now and then in a log."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import REPOSITORY
from training.workbench import progress_bar as showing
from training.workbench.progress_bar import progress_bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(showing.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_per_minute_and_no_control_characters(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    for step in progress_bar(range(1000), "fit"):
        seen.append(step)
        clock[0] += 0.25
    assert seen == list(range(1000))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "\r" not in shown.err
    assert "\x1b" not in shown.err
    lines = shown.err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "  fit: 240 of 1,000 after 60 s, about 190 s left"


def test_short_work_and_work_of_unknown_length_are_shown_too(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(progress_bar(iter("abc"), "short")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
    for _ in progress_bar(iter(range(3)), "read"):
        clock[0] += 61
    assert capsys.readouterr().err.splitlines() == ["  read: 1 after 61 s", "  read: 2 after 122 s"]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing.sys.stderr, "isatty", lambda: True, raising=False)
    bar = progress_bar(range(3), "fit")
    assert type(bar).__name__ == "tqdm"
    assert list(bar) == [0, 1, 2]


def test_libraries_draw_no_bars_in_a_log(tmp_path: Path) -> None:
    program = "import sys, pathlib, training.cli, tests.tiny; tests.tiny.write_random_t5(pathlib.Path(sys.argv[1]), 40)"
    command = [sys.executable, "-c", program, str(tmp_path / "t5")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert ended.stderr == ""
