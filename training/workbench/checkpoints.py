"""Keep a training's state after each epoch, so that a killed one goes on where it stood.

Knows models, optimizers and files; knows nothing of what is trained. The state is written beside the old one, then
progress.json points at it, then the old one goes: a kill at any moment leaves one of them whole.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clairo_core.storage.replaced_file import replace_text


@dataclass(slots=True)
class FitProgress:
    """What a killed training needs to go on, and what the report draws."""

    epochs_done: int = 0
    best_epoch: int = 0
    best_ndcg: float = -1.0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    validation_ndcgs: list[float] = field(default_factory=list)

    def should_stop(self, max_epochs: int, patience: int, max_minutes: float = 0.0) -> bool:
        """All epochs are done, none of the last `patience` was better, or the time, if limited, is up."""
        return (
            self.epochs_done >= max_epochs
            or self.epochs_done - self.best_epoch >= patience
            or 0 < max_minutes * 60 <= self.seconds
        )

    def is_best(self, ndcg: float) -> bool:
        """Whether an epoch that validates so is better than all before."""
        return ndcg > self.best_ndcg

    def add_epoch(self, loss: float, ndcg: float, seconds: float) -> None:
        """Note an epoch that is over."""
        self.epochs_done += 1
        self.seconds += seconds
        self.losses.append(loss)
        self.validation_ndcgs.append(ndcg)
        if self.is_best(ndcg):
            self.best_epoch, self.best_ndcg = self.epochs_done, ndcg


def save_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, done: FitProgress) -> None:
    """Keep weights and optimizer state; of the folders `epoch-N` only the best one stays."""
    tensors = {f"model.{name}": tensor for name, tensor in model.named_parameters()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": tensor for key, tensor in state.items()}
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        folder / f"state-{done.epochs_done}.safetensors",
    )
    replace_text(folder / "progress.json", json.dumps(asdict(done), indent=2))
    for path in folder.glob("state-*.safetensors"):
        if path.name != f"state-{done.epochs_done}.safetensors":
            path.unlink()
    for path in folder.glob("epoch-*"):
        if path.name != f"epoch-{done.best_epoch}":
            shutil.rmtree(path)


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> FitProgress:
    """Bring model and optimizer to where progress.json says a run stood; a fresh start if there is none."""
    try:
        done = load_progress(folder)
    except FileNotFoundError:
        return FitProgress()
    state_file = folder / f"state-{done.epochs_done}.safetensors"
    if not state_file.is_file():
        # Killed after training ended, while its files were put in their last places: nothing is left to train.
        return done
    tensors = load_file(state_file)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return done


def load_progress(folder: Path) -> FitProgress:
    """What progress.json says."""
    return FitProgress(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))


def keep_best_epoch(folder: Path, done: FitProgress, name: str) -> None:
    """Name the best epoch's folder `name`, and drop the states, once training is over."""
    best = folder / f"epoch-{done.best_epoch}"
    if best.is_dir():
        best.rename(folder / name)
    for state in folder.glob("state-*.safetensors"):
        state.unlink()
