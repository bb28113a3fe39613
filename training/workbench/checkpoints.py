"""Save a training run's state after each epoch, so that an interrupted run resumes.

The new state is written beside the old one, then progress.json points at it, then the old one is removed. A kill at any
moment leaves one of them whole.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clairo_core.storage.replaced_file import replace_text, replaced_file


@dataclass(slots=True)
class FitProgress:
    """Epochs done so far: enough to resume from, and the curves of the report."""

    epochs_done: int = 0
    best_epoch: int = 0
    best_ndcg: float = -1.0
    """NDCG@10 on validation users, or the figure that stands in for it (`fit_image_encoder`); -1 if not validated."""
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    validation_ndcgs: list[float] = field(default_factory=list)

    def is_best(self, ndcg: float | None) -> bool:
        """Whether an epoch with this figure is kept: it is better than all before, or none of them shows anything.

        Without validation (None), and while no target is found (0), the longest trained epoch is the best.
        """
        return ndcg is None or ndcg > self.best_ndcg or ndcg == self.best_ndcg == 0.0

    def add_epoch(self, loss: float, ndcg: float | None, seconds: float) -> None:
        """Add a finished epoch."""
        self.epochs_done += 1
        self.seconds += seconds
        self.losses.append(loss)
        if self.is_best(ndcg):
            self.best_epoch = self.epochs_done
        if ndcg is not None:
            self.validation_ndcgs.append(ndcg)
            self.best_ndcg = max(self.best_ndcg, ndcg)

    @property
    def last_validation(self) -> str:
        """The last epoch's figure and the best, for its line of the report."""
        if not self.validation_ndcgs:
            return "not validated"
        return (
            f"validation NDCG@10 {self.validation_ndcgs[-1]:.4f} (best {self.best_ndcg:.4f} in epoch {self.best_epoch})"
        )


def save_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, done: FitProgress) -> None:
    """Save weights, optimizer state and progress. Of the folders `epoch-N` only the best one stays."""
    tensors = {f"model.{name}": tensor for name, tensor in _saved_tensors(model)}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": tensor for key, tensor in state.items()}
    with replaced_file(folder / f"state-{done.epochs_done}.safetensors") as aside:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, aside)
    replace_text(folder / "progress.json", json.dumps(asdict(done), indent=2))
    for path in folder.glob("state-*.safetensors"):
        if path.name != f"state-{done.epochs_done}.safetensors":
            path.unlink()
    for path in folder.glob("epoch-*"):
        if path.name != f"epoch-{done.best_epoch}":
            shutil.rmtree(path)


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> FitProgress:
    """Restore model, optimizer and progress from the last finished epoch; a new `FitProgress` if there is none."""
    try:
        done = load_progress(folder)
    except FileNotFoundError:
        return FitProgress()
    state_file = folder / f"state-{done.epochs_done}.safetensors"
    if not state_file.is_file():
        # Killed after the last epoch, while files were renamed: nothing is left to train.
        return done
    tensors = load_file(state_file)
    with torch.no_grad():
        for name, tensor in _saved_tensors(model):
            tensor.copy_(tensors[f"model.{name}"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return done


def load_progress(folder: Path) -> FitProgress:
    """Read progress.json."""
    return FitProgress(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))


def keep_best_epoch(folder: Path, done: FitProgress, name: str) -> None:
    """Rename the best epoch's folder to `name` and remove the states, once training is over."""
    best = folder / f"epoch-{done.best_epoch}"
    if best.is_dir():
        best.rename(folder / name)
    # A kill may have left one half written.
    for state in folder.glob("state-*"):
        state.unlink()


def _saved_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and persistent buffers, each once, though several modules may share it."""
    persistent = model.state_dict().keys()
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if name in persistent:
            yield name, tensor
