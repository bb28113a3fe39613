"""Training the network of all codes: it learns, it stops, and a killed run ends where an undisturbed one does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clairo_core.errors import TrainingError
from clairo_core.generation.parallel.id_graph import code_similarity, fit_links
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.generation.parallel.parallel_checkpoint import load_links, load_network
from clairo_core.generation.parallel.parallel_generator import code_rows
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from tests.engine_trainings import NUM_ITEMS, cycles
from tests.tiny import random_feature_sets
from training.config.preset import ParallelSettings
from training.generator.fit_generator import Validate
from training.generator.fit_parallel import NextItemLoss, fit_parallel
from training.workbench.checkpoints import FitProgress
from training.workbench.next_item_windows import NOTHING, NextItemBatch

CODES = random_feature_sets(NUM_ITEMS, (8, 8, 8))
SMALL = ParallelSettings(width=16, max_epochs=4, positions_per_batch=60, learning_rate=0.02, max_history_items=5)


def fit(
    folder: Path,
    settings: ParallelSettings = SMALL,
    validate: Validate | None = None,
    sequences: ItemSequences | None = None,
) -> FitProgress:
    return fit_parallel(
        folder,
        cycles() if sequences is None else sequences,
        CODES,
        8,
        settings,
        device=torch.device("cpu"),
        seed=1,
        validate=validate,
        progress=silent,
        report=lambda message: None,
    )


def test_the_loss_falls_and_the_network_can_be_loaded(tmp_path: Path) -> None:
    done = fit(tmp_path)
    assert done.losses[-1] < 0.7 * done.losses[0]
    assert load_network(tmp_path / "generator").sizes.max_history_items == 5


def test_a_transformer_learns_the_codes_alone_and_ends_with_a_graph(tmp_path: Path) -> None:
    settings = replace(SMALL, encoder="transformer", items_loss=False, search="graph", graph_degree=3, graph_steps=2)
    done = fit(tmp_path, settings)
    assert done.losses[-1] < 0.9 * done.losses[0]
    network, links = load_network(tmp_path / "generator"), load_links(tmp_path / "generator")
    assert network.sizes.reader == "normalized-causal-transformer"
    # Only the loss over items moves the scale.
    untrained = ParallelNetwork(network.sizes)
    assert network.log_scale.item() == untrained.log_scale.item()
    assert links is not None
    assert links.num_steps == 2
    codes = code_rows(CODES, network.sizes)
    expected = fit_links(codes, code_similarity(network.vectors_by_codebook), 3, 2)
    assert links.neighbours.tolist() == expected.neighbours.tolist()


def test_a_killed_training_ends_where_an_undisturbed_one_does(tmp_path: Path) -> None:
    fit(tmp_path / "whole", validate=lambda checkpoint: float(checkpoint.name.removeprefix("epoch-")))
    calls = 0

    def dies_once(checkpoint: Path) -> float:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return float(checkpoint.name.removeprefix("epoch-"))

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", validate=dies_once)
    fit(tmp_path / "killed", validate=dies_once)
    whole, killed = (load_network(tmp_path / name / "generator").state_dict() for name in ("whole", "killed"))
    for name, weight in whole.items():
        assert torch.equal(weight, killed[name]), name


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    figures = iter([0.1, 0.3, 0.2, 0.2])
    done = fit(tmp_path, validate=lambda checkpoint: next(figures))
    assert (done.best_epoch, done.epochs_done) == (2, 4)
    assert not list(tmp_path.glob("epoch-*"))


@pytest.mark.parametrize("num_trained", [NUM_ITEMS - 1, 30])
def test_the_loss_asks_for_every_code_and_for_the_item_among_all_that_training_saw(
    num_trained: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    codes = torch.from_numpy(random_feature_sets(40, (8, 8, 8))) + torch.tensor([0, 8, 16], dtype=torch.int32)
    is_trained = torch.arange(40) < num_trained
    sizes = NetworkSizes(num_codebooks=3, num_centroids=8, width=16, max_history_items=5)
    network = ParallelNetwork(sizes).eval()
    histories, targets = torch.tensor([[3, 1, 0], [2, 7, 5]]), torch.tensor([[1, 4, NOTHING], [7, 5, 6]])
    loss = NextItemLoss(codes, is_trained)
    logits = network.code_logits(network(codes[histories])[targets != NOTHING])
    log_probabilities = torch.log_softmax(logits, 2)
    by_hand = []
    for state, target in enumerate([1, 4, 7, 5, 6]):
        of_items = torch.stack(
            [
                sum(log_probabilities[codebook, state, codes[row, codebook] - 8 * codebook] for codebook in range(3))
                for row in range(num_trained)
            ]
        )
        of_item = torch.log_softmax(of_items * network.log_scale.exp(), 0)[target]
        by_hand.append(-of_items[target] / 3 - of_item)
    expected = float(torch.stack(by_hand).mean().detach())
    assert float(loss(network, NextItemBatch(histories, targets)).detach()) == pytest.approx(expected, abs=1e-5)
    weights = torch.tensor([[0.5, 2.0, 0.0], [1.0, 0.0, 0.25]])
    weighted = np.average([float(one.detach()) for one in by_hand], weights=[0.5, 2.0, 1.0, 0.0, 0.25])
    found = loss(network, NextItemBatch(histories, targets, weights))
    assert float(found.detach()) == pytest.approx(weighted, abs=1e-5)
    # A sample of the items stands for all of them.
    monkeypatch.setattr("training.generator.fit_parallel.ITEMS_SCORED", 10)
    sampled = [float(loss(network, NextItemBatch(histories, targets)).detach()) for _ in range(200)]
    assert np.mean(sampled) == pytest.approx(expected, abs=0.05)


def test_training_goes_on_from_given_weights(tmp_path: Path) -> None:
    fit(tmp_path / "first")
    trained = load_network(tmp_path / "first" / "generator")
    still = replace(SMALL, max_epochs=1, learning_rate=1e-9)
    fit_parallel(
        tmp_path / "again",
        cycles(),
        CODES,
        8,
        still,
        start_from=trained,
        device=torch.device("cpu"),
        seed=5,
        validate=None,
        progress=silent,
        report=lambda message: None,
    )
    again = load_network(tmp_path / "again" / "generator")
    for name, weight in trained.state_dict().items():
        assert torch.allclose(weight, again.state_dict()[name], atol=1e-5), name


def test_sequences_without_a_next_item_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="two items"):
        fit(tmp_path, sequences=ItemSequences.from_lists([[1], [2]]))
