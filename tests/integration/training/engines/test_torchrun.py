"""Two processes of torchrun train as one does, and a killed training resumes with another number of processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.engine_trainings import TRAININGS, parallel, weights_of
from tests.repository import REPOSITORY
from training.workbench.checkpoints import load_progress

LOSS_TOLERANCE = 1e-4
"""Relative; sums of floats in another order."""


@pytest.fixture(scope="module")
def in_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trainings by two processes, of which one is killed in the last training."""
    out = tmp_path_factory.mktemp("two")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "tests.engine_trainings", str(out)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "Signal 9 (SIGKILL)" in ended.stderr, ended.stderr
    return out


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_train_as_one_does(name: str, in_two: Path, tmp_path: Path) -> None:
    alone, together = TRAININGS[name](tmp_path), load_progress(in_two / name)
    assert together.losses == pytest.approx(alone.losses, rel=LOSS_TOLERANCE)
    assert together.validation_ndcgs == pytest.approx(alone.validation_ndcgs, abs=0.02)
    same_as(weights_of(tmp_path), weights_of(in_two / name))


def test_a_training_whose_process_was_killed_resumes_in_one_process_and_ends_as_undisturbed(in_two: Path) -> None:
    assert load_progress(in_two / "killed").epochs_done == 1
    resumed = parallel(in_two / "killed")
    assert resumed.losses == pytest.approx(load_progress(in_two / "parallel").losses, rel=LOSS_TOLERANCE)
    same_as(weights_of(in_two / "killed"), weights_of(in_two / "parallel"))


def same_as(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    assert expected.keys() == found.keys()
    for name, weight in expected.items():
        # A bias of all keys changes no attention: its gradient is rounding.
        if name.endswith("in_proj_bias"):
            continue
        # AdamW scales a gradient that is nearly zero up to a whole step, and its rounding with it.
        assert torch.allclose(weight, found[name], atol=2e-3), (name, (weight - found[name]).abs().max())
