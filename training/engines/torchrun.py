"""The engine of a program that torchrun started: all its processes train the networks, the first one does the rest.

    torchrun --nproc-per-node 2 -m training.cli run ...

Start at `opened_torchrun`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from training.engines.engine import InThisProcess, Train
from training.engines.processes import Processes

_LONGEST_WAIT = timedelta(days=30)
"""The others wait while the first process encodes and counts."""


@contextmanager
def opened_torchrun() -> Iterator["Torchrun | None"]:
    """The engine, in the first process. The others take part in its trainings, and then get None."""
    local = int(os.environ["LOCAL_RANK"])
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_LONGEST_WAIT)
    engine = Torchrun(Processes(dist.get_rank(), dist.get_world_size()))
    if engine.processes.is_first:
        yield engine
        # After an error, nobody says so: torchrun ends the others.
        engine.processes.by_first(lambda: None)
    else:
        while (train := engine.processes.by_first(lambda: None)) is not None:
            train(processes=engine.processes)
        yield None
    dist.destroy_process_group()


class Torchrun(InThisProcess):
    """Trains in all processes of torchrun; pieces run in the first one."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def fit(self, train: Train) -> None:
        """Send the training to the others, and take part."""
        self.processes.by_first(lambda: train)
        train(processes=self.processes)
