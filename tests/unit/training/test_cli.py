"""The `clairo-train` command line: help on one line per option, and errors that name flag and value."""

from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from clairo_core.errors import SettingsError
from training.cli import app

COMMANDS = typer.main.get_group(app).commands
LONGEST_HELP = 60
"""Fits one line of a terminal of 110 columns, beside the longest flag and its type."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_on_one_line(command: str) -> None:
    for parameter in COMMANDS[command].params:
        explanation = getattr(parameter, "help", "")
        assert explanation, parameter.name
        assert len(explanation) <= LONGEST_HELP, explanation


def test_flags_of_a_service_are_refused_by_name_with_a_dataset(tmp_path: Path) -> None:
    flags = ["--data", str(tmp_path), "--out", str(tmp_path / "new"), "--since", "9d", "--warm-start"]
    result = CliRunner().invoke(app, ["run", *flags])
    assert isinstance(result.exception, SettingsError)
    assert "but --since, --warm-start only go with --data service" in str(result.exception)


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
