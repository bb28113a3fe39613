"""What every stage of a training run works with."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from clairo_core.progress import Progress
from training.config.preset import Preset
from training.datasets import Dataset
from training.workbench.stage_cache import StageCache


@dataclass(frozen=True, slots=True)
class Workbench:
    """One run's data, settings and tools."""

    dataset: Dataset
    preset: Preset
    seed: int
    device: torch.device
    stages: StageCache
    progress: Progress
    report: Callable[[str], None]
