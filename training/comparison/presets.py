"""Train a preset with a seed, unless its bundle is there already.

Knows presets, seeds and stages; the recipe itself is `training.pipeline.run`'s.
"""

from pathlib import Path

from clairo_core.bundle.manifest import read_manifest
from clairo_core.generation.t5.generator import choose_device
from training.comparison.rankers import Contest
from training.config.preset import Preset
from training.datasets.open_dataset import open_dataset
from training.pipeline.run import train_bundle
from training.workbench.workbench import Workbench


def train_preset(contest: Contest, preset: Preset, seed: int) -> Path:
    """The folder of the bundle; a killed training goes on where it stood, stages that presets share run once.

    Raises:
        ClairoError: whatever a stage of training cannot work with.
    """
    dataset = open_dataset(contest.data, preset.dataset, preset.encode.modalities, contest.progress)
    device = choose_device(contest.device)

    def build(folder: Path) -> None:
        bench = Workbench(dataset, preset, seed, device, contest.stages, contest.progress, contest.report)
        train_bundle(bench, folder / "bundle")

    settings = {name: part for name, part in preset.as_dict().items() if name != "name"}
    inputs = {"dataset": dataset.fingerprint, "preset": settings, "seed": seed}
    stage = f"bundle-{preset.name}-seed{seed}"
    return contest.stages.run(stage, inputs, build, lambda folder: read_manifest(folder / "bundle")).folder / "bundle"
