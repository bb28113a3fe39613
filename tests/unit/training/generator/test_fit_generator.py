"""Training the T5: it learns, it stops, and a killed run ends where an undisturbed one does."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clairo_core.catalogue import build_catalogue
from clairo_core.errors import SettingsError, TrainingError
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import random_feature_sets, random_sequences, tiny_vocabulary
from training.config.preset import FitSettings, GeneratorSettings
from training.generator.examples import every_prefix
from training.generator.fit_generator import FitProgress, Validate, fit_generator, learning_rate_share
from training.generator.tasks import lessons_of

SIZES = (4, 4, 4)
SMALL = GeneratorSettings(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
TOKENIZER = Tokenizer(tiny_vocabulary(SIZES))
CATALOGUE = build_catalogue([str(row) for row in range(20)], random_feature_sets(20, SIZES), TOKENIZER)


def fit(
    folder: Path,
    settings: FitSettings,
    validate: Validate = lambda checkpoint: 0.0,
    sequences: ItemSequences | None = None,
) -> FitProgress:
    folder.mkdir(exist_ok=True)
    examples = every_prefix(random_sequences(20, 30) if sequences is None else sequences, 20)
    return fit_generator(
        folder,
        lessons_of(CATALOGUE, TOKENIZER, examples, np.arange(20)),
        SMALL,
        settings,
        device=torch.device("cpu"),
        seed=3,
        validate=validate,
        progress=silent,
        report=lambda message: None,
    )


def rising() -> Validate:
    scores = iter(range(1, 100))
    return lambda checkpoint: float(next(scores))


@pytest.mark.parametrize("softmax", ["reachable", "vocabulary"])
def test_the_loss_falls_and_the_checkpoint_is_in_transformers_format(tmp_path: Path, softmax: str) -> None:
    settings = FitSettings(softmax=softmax, max_epochs=4, batch_size=16, learning_rate=0.01)
    done = fit(tmp_path, settings, rising())
    assert done.losses[-1] < done.losses[0]
    config = json.loads((tmp_path / "generator" / "config.json").read_text(encoding="utf-8"))
    assert (config["d_model"], config["softmax"]) == (16, softmax), "it is served with the softmax of its training"
    assert (tmp_path / "generator" / "model.safetensors").is_file()
    assert not list(tmp_path.glob("state-*")), "the optimizer's state is removed after training"


def test_the_best_epoch_is_kept_and_patience_ends_the_training(tmp_path: Path) -> None:
    scores = iter([0.1, 0.3, 0.2, 0.2, 0.9])
    done = fit(tmp_path, FitSettings(max_epochs=9, patience=2, batch_size=64), lambda checkpoint: next(scores))
    assert (done.best_epoch, done.epochs_done) == (2, 4)
    assert (tmp_path / "generator").is_dir()
    assert not list(tmp_path.glob("epoch-*"))


def test_a_killed_training_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    settings = FitSettings(max_epochs=3, batch_size=16)
    fit(tmp_path / "whole", settings, rising())
    calls = 0

    def dies_once(checkpoint: Path) -> float:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return float(checkpoint.name.removeprefix("epoch-"))

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", settings, dies_once)
    fit(tmp_path / "killed", settings, dies_once)
    whole = load_file(tmp_path / "whole" / "generator" / "model.safetensors")
    killed = load_file(tmp_path / "killed" / "generator" / "model.safetensors")
    assert whole.keys() == killed.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, killed[name]), name


def test_sequences_without_examples_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="two items"):
        fit(tmp_path, FitSettings(), sequences=ItemSequences.from_lists([[1], [2]]))


def test_a_patience_that_ends_before_the_first_epoch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="patience is 0; expected at least 1"):
        fit(tmp_path, FitSettings(patience=0))


def test_the_learning_rate_rises_then_falls() -> None:
    shares = [learning_rate_share(step, 200, 0.1) for step in range(200)]
    peak = shares.index(max(shares))
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert max(shares) == 1.0
