"""`python -m benchmarks.gpu` as a process, and its part that runs a service."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.checklist import PARTS, Setup, checklist
from benchmarks.gpu.serve import preset_figures
from tests.repository import REPOSITORY

PRESET = "clairo"


def run_checklist(*flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.gpu", *flags]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_a_trial_of_the_command_prints_and_writes_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    ran = run_checklist("--device", "cpu", "--small", "--parts", "encode", "--json", str(file))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["command"].startswith("python -m benchmarks.gpu --device cpu --small")
    assert document["problems"] == []
    assert all(row["value"] is not None for row in document["rows"])
    assert ran.stdout.splitlines()[-1].endswith(f"0 failed, 0 of {len(document['rows'])} rows not measured")


def test_without_a_gpu_the_command_says_so_and_how_to_try_it() -> None:
    ran = run_checklist()
    assert ran.returncode == 2
    assert ran.stderr.startswith("no GPU to check: torch ")
    assert "--device cpu --small" in ran.stderr


def test_a_trained_bundle_is_served_loaded_and_swapped(tmp_path: Path) -> None:
    trial = Setup("cpu", is_small=True, seconds=0.1, folder=tmp_path)
    found = dict(preset_figures(trial, PRESET))
    rows = checklist(PARTS["serve"], trial)
    assert found.keys() == {row.name for row in rows}
    assert found[f"{PRESET}: the CPU's top 10, found over HTTP"] >= 99
    assert all(found[f"{PRESET}, {clients}: throughput"] > 0 for clients in ("1 client", "32 clients"))
    assert found[f"{PRESET}: items not posted"] == found[f"{PRESET}: not answered meanwhile"] == 0
