"""The training loop: the best epoch is kept, every limit allows one epoch, and interrupted runs resume."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from clairo_core.errors import SettingsError, TrainingError
from clairo_core.progress import silent
from training.workbench.checkpoints import FitProgress, load_progress
from training.workbench.fit_epochs import FitLimits, epoch_seed, fit_epochs

LIMITS = FitLimits(max_epochs=4, patience=4)


def normed_network() -> nn.Module:
    """A network with a buffer that training changes, and a matrix that two modules share."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 3, bias=False))
    network[2].weight = network[0].weight
    return network


def fit(
    folder: Path,
    figures: Callable[[int], float] | None = float,
    limits: FitLimits = LIMITS,
    loss_factor: float = 1.0,
    report: Callable[[FitProgress, float], None] = lambda done, seconds: None,
) -> tuple[FitProgress, nn.Module]:
    """`figures`: epoch -> what its validation gives."""
    network = normed_network()

    def batches(epoch: int) -> tuple[Iterable[Tensor], int]:
        return torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(epoch_seed(0, epoch))), 3

    def loss_of(batch: Tensor) -> Tensor:
        return nn.functional.dropout(network(batch) - batch, 0.5).square().mean() * loss_factor

    def save(epoch: Path) -> None:
        epoch.mkdir(exist_ok=True)
        save_file({"weight": network[0].weight.detach()}, epoch / "weights.safetensors")

    done = fit_epochs(
        folder,
        network,
        torch.optim.AdamW(network.parameters(), lr=0.1),
        limits,
        label="network",
        best="best",
        seed=0,
        batches=batches,
        loss_of=loss_of,
        learning_rate=lambda epochs_done: 0.1 / (1 + epochs_done),
        learning_rate_setting="the.rate",
        validate=figures and (lambda epoch: figures(int(epoch.name.removeprefix("epoch-")))),
        save=save,
        progress=silent,
        report=report,
    )
    return done, network


def test_the_best_epoch_is_kept_and_patience_ends_the_training(tmp_path: Path) -> None:
    figures = {1: 0.1, 2: 0.3, 3: 0.2, 4: 0.3, 5: 0.9}
    done, _ = fit(tmp_path, figures.__getitem__, FitLimits(max_epochs=9, patience=2))
    assert (done.best_epoch, done.best_ndcg, done.epochs_done) == (2, 0.3, 4)
    assert load_progress(tmp_path) == done
    assert {path.name for path in tmp_path.iterdir()} == {"best", "progress.json"}


@pytest.mark.parametrize("name", ["max_epochs", "patience"])
@pytest.mark.parametrize("number", [0, -1])
def test_limits_that_allow_no_epoch_are_refused(name: str, number: int) -> None:
    with pytest.raises(SettingsError, match=f"{name} is {number}; expected at least 1"):
        replace(LIMITS, **{name: number})


def test_time_that_is_up_ends_the_training_after_a_whole_epoch(tmp_path: Path) -> None:
    done, _ = fit(tmp_path, limits=replace(LIMITS, max_minutes=1e-9))
    assert done.epochs_done == 1
    assert (tmp_path / "best" / "weights.safetensors").is_file()


def test_while_no_target_is_found_the_longest_trained_epoch_is_kept(tmp_path: Path) -> None:
    done, _ = fit(tmp_path, lambda _epoch: 0.0, FitLimits(max_epochs=4, patience=1))
    assert (done.best_epoch, done.epochs_done) == (4, 4)
    assert (tmp_path / "best").is_dir()


def test_without_validation_all_epochs_are_trained_and_the_last_is_kept(tmp_path: Path) -> None:
    done, network = fit(tmp_path, None, FitLimits(max_epochs=4, patience=1))
    assert (done.best_epoch, done.epochs_done, done.validation_ndcgs) == (4, 4, [])
    assert done.last_validation == "not validated"
    kept = load_file(tmp_path / "best" / "weights.safetensors")["weight"]
    assert torch.equal(kept, network[0].weight)


@pytest.mark.parametrize("dies_in_epoch", [1, 2, 3, 4])
@pytest.mark.parametrize("dies_in", ["validation", "report"])
def test_a_killed_training_ends_where_an_undisturbed_one_does(tmp_path: Path, dies_in_epoch: int, dies_in: str) -> None:
    deaths = [dies_in_epoch]

    def die_in(epoch: int) -> None:
        if deaths == [epoch]:
            deaths.clear()
            raise KeyboardInterrupt

    def figures(epoch: int) -> float:
        if dies_in == "validation":
            die_in(epoch)
        return float(epoch)

    def report(done: FitProgress, _seconds: float) -> None:
        if dies_in == "report":
            die_in(done.epochs_done)

    whole, _ = fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", figures, report=report)
    killed, _ = fit(tmp_path / "killed", figures, report=report)
    assert replace(killed, seconds=0) == replace(whole, seconds=0)
    weights = [load_file(tmp_path / run / "best" / "weights.safetensors")["weight"] for run in ("whole", "killed")]
    assert torch.equal(*weights)


def test_buffers_that_training_changes_are_resumed_too(tmp_path: Path) -> None:
    _, undisturbed = fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", {1: 1.0, 2: 2.0}.__getitem__, report=_stop_after_two)
    _, resumed = fit(tmp_path / "killed")
    assert torch.equal(undisturbed[1].running_mean, resumed[1].running_mean)


def _stop_after_two(done: FitProgress, _seconds: float) -> None:
    if done.epochs_done == 2:
        raise KeyboardInterrupt


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first, _ = fit(tmp_path)
    again, _ = fit(tmp_path, {}.__getitem__)
    assert again == first


def test_a_loss_that_diverges_names_the_setting_to_lower(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"network: the loss of epoch 1 is nan; lower the\.rate"):
        fit(tmp_path, loss_factor=float("nan"))


def test_a_validation_figure_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="validation of epoch 1 gives nan"):
        fit(tmp_path, lambda _epoch: float("nan"))
    assert not (tmp_path / "best").exists()
