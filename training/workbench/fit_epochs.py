"""Train a model epoch by epoch until validation, if there is any, stops improving.

Interrupted runs resume after their last whole epoch.

Batches, loss and validation are passed in. Several processes may share the steps. Start at `fit_epochs`.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from clairo_core.errors import SettingsError, TrainingError
from clairo_core.progress import Progress, silent
from training.engines.processes import ALONE, Processes
from training.workbench.checkpoints import FitProgress, keep_best_epoch, load_checkpoint, save_checkpoint

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class FitLimits:
    """When training ends. Every limit allows at least one epoch.

    Raises:
        SettingsError: `max_epochs` or `patience` is below 1.
    """

    max_epochs: int
    patience: int
    """Epochs in a row without a better validation figure; none pass while it shows nothing (`FitProgress.is_best`)."""
    max_minutes: float = 0.0
    """Training ends with the epoch that passes this; 0 sets no limit."""

    def __post_init__(self) -> None:
        for name in ("max_epochs", "patience"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; expected at least 1")

    def are_reached(self, done: FitProgress) -> bool:
        """Whether no further epoch is due."""
        return (
            done.epochs_done >= self.max_epochs
            or done.epochs_done - done.best_epoch >= self.patience
            or 0 < self.max_minutes * 60 <= done.seconds
        )


def refit_epochs(trained: FitProgress, growth: float) -> int:
    """Epochs that a trained model goes on for, at a rate that falls again from its first: half of those up to its best.

    Measured on generator and dense head: a tenth or a third of the rate gains less, and a training from the start no
    more, in over twice the time.

    Args:
        trained: the course of its training.
        growth: an epoch's interactions, as a multiple of the training's. All epochs together take at most half as many
            as the training, if that leaves one.

    >>> [refit_epochs(FitProgress(epochs_done=done, best_epoch=best), 1.2) for done, best in ((5, 1), (12, 8), (6, 6))]
    [1, 4, 2]
    """
    return max(1, min(trained.best_epoch // 2, int(trained.epochs_done / (2 * growth))))


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of everything random in an epoch: a resumed run takes the same steps as an undisturbed one."""
    return seed * 100_003 + epoch


def _seconds_since(started: float) -> float:
    return time.monotonic() - started


def fit_epochs(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    limits: FitLimits,
    *,
    label: str,
    best: str,
    seed: int,
    batches: Callable[[int], tuple[Iterable[Batch], int]],
    loss_of: Callable[[Batch], Tensor],
    learning_rate: Callable[[float], float],
    learning_rate_setting: str,
    validate: Callable[[Path], float] | None,
    save: Callable[[Path], None],
    max_gradient_norm: float = math.inf,
    tables: Sequence[nn.Parameter] = (),
    processes: Processes = ALONE,
    progress: Progress[Batch],
    report: Callable[[FitProgress, float], None],
) -> FitProgress:
    """Train in `folder`, resuming from the checkpoint there. The best epoch ends up in `folder/best`.

    Args:
        folder: of checkpoints and of the result; created if missing.
        model: in its initial state.
        optimizer: of the model's parameters.
        limits: when to stop.
        label: names the model in messages.
        best: name of the best epoch's folder.
        seed: torch's own random state is set to `epoch_seed(seed, epoch)` before each epoch.
        batches: epoch, from 1 -> its batches, and how many there are.
        loss_of: the mean loss of a batch.
        learning_rate: epochs done, with fraction -> the rate of the next step.
        learning_rate_setting: the setting to lower if the loss diverges.
        validate: measures the model; higher is better. It may write to the folder of the epoch that it is given. None
            trains all epochs and keeps the last.
        save: writes the model into that folder; called for an epoch that is the best so far.
        max_gradient_norm: gradients are scaled down to it.
        tables: parameters with sparse gradients.
        processes: that call this with the same arguments. The first one validates, saves and reports.
        progress: over batches.
        report: receives the progress after each epoch, and the seconds that its steps took.

    Raises:
        TrainingError: the loss or the validation figure of an epoch is not a finite number, or the processes do not
            see the same folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = load_checkpoint(folder, model, optimizer)
    epochs_done = processes.by_first(lambda: done.epochs_done)
    if done.epochs_done != epochs_done:
        raise TrainingError(
            f"{label}: process {processes.number} finds {done.epochs_done} finished epochs in {folder}, the first one "
            f"{epochs_done}; write to a folder that all machines see"
        )
    loss_of_share = processes.shared_loss(model, loss_of, tables)
    shown = progress if processes.is_first else silent
    while not limits.are_reached(done):
        epoch, started = done.epochs_done + 1, time.monotonic()
        # Each process draws its own dropout.
        torch.manual_seed(epoch_seed(seed, epoch) + (processes.number << 40))
        steps, num_steps = batches(epoch)
        model.train()
        losses = []
        for number, batch in enumerate(shown(steps, f"{label}, epoch {epoch}/{limits.max_epochs}", num_steps)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch - 1 + number / num_steps)
            loss = loss_of_share(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            processes.gather_rows(tables)
            if max_gradient_norm < math.inf:
                torch.nn.utils.clip_grad_norm_(model.parameters(), max_gradient_norm)
            optimizer.step()
            losses.append(loss.detach())
        mean_loss, step_seconds = processes.mean(torch.stack(losses).mean()), time.monotonic() - started
        if not math.isfinite(mean_loss):
            raise TrainingError(
                f"{label}: the loss of epoch {epoch} is {mean_loss}; lower {learning_rate_setting} and run again"
            )
        model.eval()
        of_epoch = folder / f"epoch-{epoch}"
        figure = None if validate is None else processes.by_first(partial(validate, of_epoch))
        if figure is not None and not math.isfinite(figure):
            raise TrainingError(
                f"{label}: validation of epoch {epoch} gives {figure}, expected a number; lower "
                f"{learning_rate_setting} and run again"
            )
        if done.is_best(figure) and processes.is_first:
            save(of_epoch)
        done.add_epoch(mean_loss, figure, processes.by_first(partial(_seconds_since, started)))
        if processes.is_first:
            save_checkpoint(folder, model, optimizer, done)
            report(done, step_seconds)
    if processes.is_first:
        keep_best_epoch(folder, done, best)
    return done
