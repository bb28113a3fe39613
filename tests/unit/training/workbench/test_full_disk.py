"""A disk that fills up while a stage writes: one line, and the next run goes on from the last checkpoint."""

import subprocess
import sys
from pathlib import Path

RUN = """
import resource, sys
from pathlib import Path
import torch
from torch import nn
from training.cli import run_command
from training.workbench.checkpoints import load_checkpoint, save_checkpoint
from training.workbench.stage_cache import StageCache

folder, limit = Path(sys.argv[1]), int(sys.argv[2])

def fit(stage):
    model = nn.Linear(100, 100)
    optimizer = torch.optim.Adam(model.parameters())
    done = load_checkpoint(stage, model, optimizer)
    print("resumed after", done.epochs_done)
    for epoch in range(done.epochs_done, 3):
        if limit and epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        model(torch.ones(1, 100)).sum().backward()
        optimizer.step()
        done.add_epoch(1.0, 0.5, 0.1)
        save_checkpoint(stage, model, optimizer, done)

run_command(lambda: print(StageCache(folder, print).run("fit", {"a": 1}, fit, lambda stage: stage.name).result))
"""


def test_a_full_disk_ends_in_one_line_and_the_next_run_resumes(tmp_path: Path) -> None:
    def run(limit: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", RUN, str(tmp_path), str(limit)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    full = run(20_000)
    assert full.returncode == 2
    (line,) = full.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/fit-")
    assert line.endswith("File too large; free space or correct the permissions, then run again")
    assert [path.name.endswith(".partial") for path in tmp_path.iterdir()] == [True]
    resumed = run(0)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after 2" in resumed.stdout
    assert [path.name.endswith(".partial") for path in tmp_path.iterdir()] == [False]
