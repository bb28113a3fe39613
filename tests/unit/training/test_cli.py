"""The `clairo-train` command line: help on one line per option, and errors that name flag and value."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from clairo_core.errors import SettingsError
from tests.repository import REPOSITORY
from training.cli import app, run_command

COMMANDS = typer.main.get_group(app).commands
ALL_COMMANDS = {**COMMANDS, **{f"ids {name}": command for name, command in COMMANDS["ids"].commands.items()}}
LONGEST_HELP = 60
"""Fits one line of a terminal of 110 columns, beside the longest flag and its type."""


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_every_option_is_explained_on_one_line(command: str) -> None:
    for parameter in ALL_COMMANDS[command].params:
        explanation = getattr(parameter, "help", "")
        assert explanation, parameter.name
        assert len(explanation) <= LONGEST_HELP, explanation


def test_the_package_runs_as_the_command_without_slow_imports() -> None:
    program = (
        "import sys, runpy; sys.argv[1:] = ['--help']\ntry: runpy.run_module('training.cli', run_name='__main__')\n"
    )
    program += "finally: print([name for name in ('torch', 'transformers', 'numba') if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    shown = [name for name, command in COMMANDS.items() if not command.hidden]
    assert all(f" {name} " in ended.stdout for name in shown)
    assert ended.stdout.strip().endswith("[]")


def test_flags_of_a_service_are_refused_by_name_with_a_dataset(tmp_path: Path) -> None:
    flags = ["--data", str(tmp_path), "--out", str(tmp_path / "new"), "--since", "9d", "--warm-start"]
    result = CliRunner().invoke(app, ["run", *flags, "--not-worse-than", "0", "--rules", "shop"])
    assert isinstance(result.exception, SettingsError)
    expected = "which does not go with --since, --not-worse-than, --rules, --warm-start; take --data service"
    assert expected in str(result.exception)


@pytest.mark.parametrize("share", ["-0.1", "5", "nan"])
def test_an_accepted_loss_beyond_a_share_is_refused(tmp_path: Path, share: str) -> None:
    flags = ["--data", "service", "--out", str(tmp_path / "new"), "--not-worse-than", share]
    result = CliRunner().invoke(app, ["run", *flags])
    assert isinstance(result.exception, SettingsError)
    assert "expected a share of 0 to 1" in str(result.exception)


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
@pytest.mark.parametrize(
    "command", ["run --data shop --out new", "ids make shop --out ids.parquet", "demo-data --out new"]
)
def test_a_seed_that_no_library_takes_is_refused(command: str, seed: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--seed", seed])
    assert result.exit_code == 2
    assert "0<=x<=2000000000" in result.output


def test_an_unknown_split_is_refused_with_the_choices() -> None:
    result = CliRunner().invoke(app, ["evaluate", "bundle", "--data", "shop", "--split", "train"])
    assert result.exit_code == 2
    assert "'test'" in result.output
    assert "'validation'" in result.output


def test_an_existing_bundle_is_not_replaced_without_overwrite(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    result = CliRunner().invoke(app, ["run", "--data", "shop", "--out", str(tmp_path)])
    assert isinstance(result.exception, SettingsError)
    assert f"--out {tmp_path} already holds a bundle; name another folder, or add --overwrite" in str(result.exception)


@pytest.mark.parametrize("data", ["shop", "service"])
def test_preset_and_settings_are_checked_before_an_existing_bundle(tmp_path: Path, data: str) -> None:
    (tmp_path / "manifest.json").touch()
    flags = ["run", "--data", data, "--out", str(tmp_path)]
    for wrong, words in (
        (["--preset", "tigre"], "did you mean 'tiger'?"),
        (["--preset", "tiger", "--set", "fit.patience=0"], "at least 1"),
    ):
        result = CliRunner().invoke(app, [*flags, *wrong])
        assert isinstance(result.exception, SettingsError)
        assert words in str(result.exception)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            Exception("I/O error: No space left on device (os error 28)"),
            "file system: No space left on device; free space",
        ),
        (OSError(28, "No space left on device", "out/b"), "out/b: No space left on device; free space"),
    ],
)
def test_a_full_disk_is_one_line_whatever_library_met_it(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def write() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        run_command(write)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")


def test_an_error_of_ours_is_never_passed_off_as_a_full_disk() -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run_command(fail)
