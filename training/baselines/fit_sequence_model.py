"""Train a neural baseline until validation stops improving. Start at `choose_sequence_model`.

All share one grid, one budget and one stopping rule.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from clairo_core.errors import TrainingError
from clairo_core.progress import Progress, silent
from clairo_core.sequences import ItemSequences
from training.baselines.bert4rec import Bert4Rec
from training.baselines.gated_blocks import HstuBlock, LigrBlock
from training.baselines.gru4rec import Gru4Rec
from training.baselines.padded_windows import Windows, number_of_window_batches, window_batches
from training.baselines.sampled_softmax import mean_sampled_softmax_loss
from training.baselines.sasrec import SasRec
from training.baselines.sequence_model import MAX_LENGTH, SequenceModelSettings, SequenceScorer
from training.evaluation.choose_settings import Choice, masked_ndcg
from training.evaluation.split import EvaluationSplit
from training.workbench.checkpoints import FitProgress
from training.workbench.fit_epochs import FitLimits, fit_epochs

NewModel = Callable[[int, SequenceModelSettings], SasRec | Gru4Rec | Bert4Rec]

SEQUENCE_MODELS: dict[str, NewModel] = {
    "sasrec": SasRec,
    "sasrec_sampled": partial(SasRec, mean_loss=mean_sampled_softmax_loss),
    "esasrec": partial(SasRec, new_block=LigrBlock, mean_loss=mean_sampled_softmax_loss),
    "hstu": partial(SasRec, new_block=HstuBlock, mean_loss=mean_sampled_softmax_loss),
    "gru4rec": Gru4Rec,
    "bert4rec": Bert4Rec,
}
"""By name, in the order of the table."""
GRID = (
    SequenceModelSettings(dim=64, dropout=0.2),
    SequenceModelSettings(dim=64, dropout=0.5),
    SequenceModelSettings(dim=128, dropout=0.5),
)


MODEL_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True)
class FitBudget:
    """How long each candidate is trained."""

    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    batch_size: int = 128
    """Upper bound. It shrinks with the number of users, so that an epoch has about `min_steps_per_epoch` steps."""
    min_steps_per_epoch: int = 100
    min_batch_size: int = 16
    max_epochs: int = 60
    patience: int = 10
    """Stop after this many epochs without a better validation NDCG@10, seen items masked."""

    def batch_size_for(self, num_users: int) -> int:
        """Batch size for this many users.

        >>> [FitBudget().batch_size_for(num_users) for num_users in (17_112, 5_000, 1_278)]
        [128, 50, 16]
        """
        return min(self.batch_size, max(self.min_batch_size, num_users // self.min_steps_per_epoch))


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
    """Train every candidate of `grid` and choose the one whose best epoch ranks validation users' next items best.

    The result is saved in `folder` for `load_sequence_model`.

    Raises:
        TrainingError: `grid` is empty, no user has two items in training, or the loss diverges.
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
    ndcgs = [done.best_ndcg for _, done in fitted]
    best = int(np.argmax(ndcgs))
    scorer, done = fitted[best]
    save_file(scorer.module.state_dict(), folder / MODEL_FILE)
    (folder / "settings.json").write_text(json.dumps(asdict(grid[best])), encoding="utf-8")
    (folder / "fit.json").write_text(json.dumps(asdict(done)), encoding="utf-8")
    return Choice(grid[best], scorer, tuple(zip(grid, ndcgs, strict=True)))


def load_sequence_model(name: str, folder: Path, num_items: int) -> tuple[SequenceScorer, FitProgress]:
    """Load the model that `choose_sequence_model` chose, and the progress of its training."""
    settings = SequenceModelSettings(**json.loads((folder / "settings.json").read_text(encoding="utf-8")))
    model = SEQUENCE_MODELS[name](num_items, settings)
    model.load_state_dict(load_file(folder / MODEL_FILE))
    done = FitProgress(**json.loads((folder / "fit.json").read_text(encoding="utf-8")))
    return SequenceScorer(model, model, num_items), done


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
) -> tuple[SequenceScorer, FitProgress]:
    """Train the model and return it as it was in its best epoch.

    Raises:
        TrainingError: no user has two items in training, or the loss diverges.
    """
    batch_size = budget.batch_size_for(len(training))
    num_batches = number_of_window_batches(training, batch_size)
    if num_batches == 0:
        raise TrainingError(f"{label}: no user has two items in training, so nothing follows anything; leave it out")
    torch.manual_seed(seed)
    model = new_model(num_items, settings)
    scorer = SequenceScorer(model, model, num_items)

    def batches(epoch: int) -> tuple[Iterator[Windows], int]:
        random = np.random.default_rng([seed, epoch])
        of_epoch = window_batches(training, num_items, max_length=MAX_LENGTH, batch_size=batch_size, random=random)
        return of_epoch, num_batches

    def save(epoch: Path) -> None:
        epoch.mkdir(exist_ok=True)
        save_file(model.state_dict(), epoch / MODEL_FILE)

    done = fit_epochs(
        folder,
        model,
        torch.optim.AdamW(model.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay, fused=True),
        FitLimits(budget.max_epochs, budget.patience),
        label=label,
        best="best",
        seed=seed,
        batches=batches,
        loss_of=model.loss,
        learning_rate=lambda _epochs_done: budget.learning_rate,
        learning_rate_setting="FitBudget.learning_rate",
        validate=(lambda _epoch: masked_ndcg(scorer, validation)) if len(validation.targets) else None,
        save=save,
        max_gradient_norm=1.0,
        progress=progress,
        report=lambda _done, _step_seconds: None,
    )
    model.load_state_dict(load_file(folder / "best" / MODEL_FILE))
    return scorer, done
