"""Every benchmark's docstring gives the command that runs it, and its JSON the command that ran it."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.repository import REPOSITORY


def calls_run_benchmark(source: str) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "run_benchmark"
        for node in ast.walk(ast.parse(source))
    )


BENCHMARKS = [
    file for file in sorted((REPOSITORY / "benchmarks").glob("*/*.py")) if calls_run_benchmark(file.read_text())
]


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)


def test_every_room_has_benchmarks():
    assert {file.parent.name for file in BENCHMARKS} == {"accuracy", "shop", "speed"}


@pytest.mark.parametrize("file", BENCHMARKS, ids=module_of)
def test_a_benchmarks_docstring_gives_its_own_command(file):
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    commands = [line.split()[:3] for line in docstring.splitlines() if line.startswith("    python -m ")]
    assert commands
    assert all(command == ["python", "-m", module_of(file)] for command in commands)


def test_the_json_of_a_benchmark_holds_the_command_that_ran_it(tmp_path):
    (tmp_path / "tiny_benchmark.py").write_text(
        '"""Measure nothing."""\n'
        "import sys\n"
        "from benchmarks.report import Row, run_benchmark\n"
        "def rows(quick):\n"
        "    return 'no data', [Row('is quick', float(quick), '', 'higher', 1.0)]\n"
        "sys.exit(run_benchmark(rows))\n"
    )
    arguments = ["--quick", "--json", str(tmp_path / "rows of today.json")]
    paths = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    ran = subprocess.run(
        [sys.executable, "-m", "tiny_benchmark", *arguments], env=os.environ | {"PYTHONPATH": paths}, check=False
    )
    assert ran.returncode == 0
    document = json.loads((tmp_path / "rows of today.json").read_text())
    assert document["command"] == f"python -m tiny_benchmark --quick --json '{arguments[2]}'"
    assert [row["value"] for row in document["rows"]] == [1.0]
