"""Both commands without the packages of their extra: one sentence with the next step, no traceback."""

import os
import subprocess
import sys

import pytest

from tests.repository import REPOSITORY

WITHOUT = "import runpy, sys; sys.modules[{!r}] = None; sys.argv[1:] = {!r}; runpy.run_module({!r}, None, '__main__')"


@pytest.mark.parametrize(
    ("module", "package", "arguments", "expected"),
    [
        ("service.cli", "typer", ["run"], "clairo-serve needs clairo[serve], but the package typer is missing"),
        ("training.cli", "typer", ["--help"], "clairo-train needs clairo[train], but the package typer is missing"),
        (
            "training.cli",
            "numpy",
            ["demo-data", "--out", "nowhere"],
            "clairo-train needs clairo[train], but the package numpy is missing",
        ),
        (
            "service.cli",
            "pyarrow",
            ["run", "--bundle", "s3://shop/bundles/spring", "--port", "0"],
            "s3://shop/bundles needs clairo[storage], but the package pyarrow is missing",
        ),
    ],
)
def test_a_command_without_its_extra_names_it(module: str, package: str, arguments: list[str], expected: str) -> None:
    program = WITHOUT.format(package, arguments, module)
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if not name.startswith("CLAIRO_")},
    )
    assert ended.returncode != 0
    (line,) = ended.stderr.splitlines()
    assert expected in line
    assert "run pip install 'clairo[" in line
