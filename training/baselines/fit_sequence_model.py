"""Train SASRec, GRU4Rec or BERT4Rec until validation stops getting better. Start at `choose_sequence_model`.

Knows steps, epochs and checkpoints; knows nothing of what a model does with a window. All three have the same grid,
the same number of epochs and the same stopping rule. A killed training goes on behind its last whole epoch.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clairo_core.errors import TrainingError
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from clairo_core.storage.replaced_file import replace_text
from training.baselines.bert4rec import Bert4Rec
from training.baselines.gru4rec import Gru4Rec
from training.baselines.padded_windows import Windows, number_of_window_batches, window_batches
from training.baselines.sasrec import SasRec
from training.baselines.sequence_model import MAX_LENGTH, SequenceModelSettings, SequenceScorer
from training.evaluation.choose_settings import Choice, masked_ndcg
from training.evaluation.split import EvaluationSplit

NewModel = Callable[[int, SequenceModelSettings], SasRec | Gru4Rec | Bert4Rec]

SEQUENCE_MODELS: dict[str, NewModel] = {"sasrec": SasRec, "gru4rec": Gru4Rec, "bert4rec": Bert4Rec}
"""By name, in the order of the table."""
GRID = (
    SequenceModelSettings(dim=64, dropout=0.2),
    SequenceModelSettings(dim=64, dropout=0.5),
    SequenceModelSettings(dim=128, dropout=0.5),
)


@dataclass(frozen=True, slots=True)
class FitBudget:
    """How long one candidate is trained; the same for all."""

    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    batch_size: int = 128
    """At most; fewer where there are few users, so that an epoch is more than a handful of steps."""
    min_steps_per_epoch: int = 100
    min_batch_size: int = 16
    max_epochs: int = 60
    patience: int = 10
    """Stop after this many epochs without a better validation NDCG@10, seen items masked."""

    def batch_size_for(self, num_users: int) -> int:
        """Of a step, with so many users.

        >>> [FitBudget().batch_size_for(num_users) for num_users in (17_112, 5_000, 1_278)]
        [128, 50, 16]
        """
        return min(self.batch_size, max(self.min_batch_size, num_users // self.min_steps_per_epoch))


@dataclass(slots=True)
class FitState:
    """Where a training stands."""

    epochs_done: int = 0
    best_epoch: int = 0
    best_ndcg: float = -1.0
    losses: list[float] = field(default_factory=list)
    validation_ndcgs: list[float] = field(default_factory=list)


def choose_sequence_model(
    name: str,
    folder: Path,
    training: ItemSequences,
    num_items: int,
    validation: EvaluationSplit,
    *,
    grid: tuple[SequenceModelSettings, ...] = GRID,
    budget: FitBudget = FitBudget(),
    seed: int = 0,
    progress: Progress[Windows] = silent,
) -> Choice[SequenceModelSettings]:
    """Train every candidate of `grid`; the one whose best epoch ranks validation users' next items best.

    All is kept in `folder`, where `load_sequence_model` finds what was chosen.

    Raises:
        TrainingError: there is no candidate, no user has two items in training, or the loss is no number.
    """
    fitted = []
    for number, settings in enumerate(grid, 1):
        label = f"{name} {number}/{len(grid)}"
        there = folder / f"candidate-{number}"
        fitted.append(
            fit_sequence_model(
                SEQUENCE_MODELS[name], there, training, num_items, validation, settings, budget, seed, label, progress
            )
        )
    if not fitted:
        raise TrainingError(f"{name}: there are no settings to choose from; name at least one")
    ndcgs = [state.best_ndcg for _, state in fitted]
    best = int(np.argmax(ndcgs))
    scorer, state = fitted[best]
    save_file(scorer.module.state_dict(), folder / "model.safetensors")
    (folder / "settings.json").write_text(json.dumps(asdict(grid[best])), encoding="utf-8")
    (folder / "fit.json").write_text(json.dumps(asdict(state)), encoding="utf-8")
    return Choice(grid[best], scorer, tuple(zip(grid, ndcgs, strict=True)))


def load_sequence_model(name: str, folder: Path, num_items: int) -> tuple[SequenceScorer, FitState]:
    """What `choose_sequence_model` chose, and how its training went."""
    settings = SequenceModelSettings(**json.loads((folder / "settings.json").read_text(encoding="utf-8")))
    model = SEQUENCE_MODELS[name](num_items, settings)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    state = FitState(**json.loads((folder / "fit.json").read_text(encoding="utf-8")))
    return SequenceScorer(model, model, num_items), state


def fit_sequence_model(
    new_model: NewModel,
    folder: Path,
    training: ItemSequences,
    num_items: int,
    validation: EvaluationSplit,
    settings: SequenceModelSettings,
    budget: FitBudget,
    seed: int,
    label: str,
    progress: Progress[Windows] = silent,
) -> tuple[SequenceScorer, FitState]:
    """The model as it was in its best epoch. Epoch e draws all that is random from (seed, e).

    Raises:
        TrainingError: no user has two items in training, or the loss is no number.
    """
    batch_size = budget.batch_size_for(len(training))
    num_batches = number_of_window_batches(training, batch_size)
    if num_batches == 0:
        raise TrainingError(f"{label}: no user has two items in training, so nothing follows anything; leave it out")
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = new_model(num_items, settings)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay, fused=True
    )
    scorer = SequenceScorer(model, model, num_items)
    state, best = load_state(folder, model, optimizer)
    while state.epochs_done < budget.max_epochs and state.epochs_done - state.best_epoch < budget.patience:
        epoch = state.epochs_done + 1
        torch.manual_seed(seed * 100_003 + epoch)
        batches = window_batches(
            training,
            num_items,
            max_length=MAX_LENGTH,
            batch_size=batch_size,
            random=np.random.default_rng([seed, epoch]),
        )
        model.train()
        losses = []
        for windows in progress(batches, f"{label}, epoch {epoch}", num_batches):
            optimizer.zero_grad(set_to_none=True)
            loss = model.loss(windows)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
        if not math.isfinite(sum(losses)):
            raise TrainingError(f"{label}: the loss of epoch {epoch} is no number; lower the learning rate")
        ndcg = masked_ndcg(scorer, validation)
        state.epochs_done = epoch
        state.losses.append(sum(losses) / len(losses))
        state.validation_ndcgs.append(ndcg)
        if ndcg > state.best_ndcg:
            state.best_epoch, state.best_ndcg = epoch, ndcg
            best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        save_state(folder, model, optimizer, best, state)
    model.load_state_dict(best)
    return scorer, state


def save_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, best: dict[str, Tensor], state: FitState
) -> None:
    """Write the weights and what the optimizer knows, then point progress.json at them, then drop the old."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": tensor for key, tensor in moments.items()}
    current = folder / f"state-{state.epochs_done}.safetensors"
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, current)
    replace_text(folder / "progress.json", json.dumps(asdict(state), indent=2))
    for file in folder.glob("state-*.safetensors"):
        if file != current:
            file.unlink()


def load_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[FitState, dict[str, Tensor]]:
    """Bring both to where a killed training stood; a fresh start if there is none. Also the best epoch's weights."""
    if not (folder / "progress.json").is_file():
        return FitState(), {}
    state = FitState(**json.loads((folder / "progress.json").read_text(encoding="utf-8")))
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    for name, tensor in load_file(folder / f"state-{state.epochs_done}.safetensors").items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    model.load_state_dict(parts["model"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        number, _, key = name.partition(".")
        moments.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return state, parts["best"]
