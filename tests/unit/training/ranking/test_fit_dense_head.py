"""Training the dense head: windows, learning, resuming."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clairo_core.errors import TrainingError
from clairo_core.progress import silent
from clairo_core.ranking import load_dense_head
from clairo_core.sequences import ItemSequences
from tests.engine_trainings import NUM_ITEMS, cycles, last_items
from training.config.preset import DenseSettings
from training.ranking.fit_dense_head import DenseModel, fit_dense_head, rate_share
from training.ranking.learned_item_vectors import LearnedItemVectors
from training.workbench.checkpoints import load_progress
from training.workbench.next_item_windows import (
    NOTHING,
    NextItemBatch,
    WindowEpochs,
    cut_windows,
    next_item_batches,
    windows_per_user,
)

SETTINGS = DenseSettings(
    dim=16,
    num_layers=1,
    dropout_rate=0.0,
    own_dropout=0.1,
    positions_per_batch=60,
    max_epochs=4,
    max_history_items=5,
    learning_rate=0.02,
)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=30), min_size=1, max_size=6), st.integers(1, 8))
def test_windows_are_counted_per_user_as_they_are_cut(sequences: list[list[int]], max_inputs: int) -> None:
    flat = ItemSequences.from_lists(sequences)
    num_windows, most = windows_per_user(flat, max_inputs, max_user_examples=0)
    windows = cut_windows(flat, max_inputs)
    assert num_windows.tolist() == [len(cut_windows(ItemSequences.from_lists([one]), max_inputs)) for one in sequences]
    assert num_windows.sum() == len(windows)
    assert most == num_windows.max()


def test_a_bot_has_few_windows_in_an_epoch() -> None:
    ordinary = [[1, 2, 3, 4, 5, 6, 7, 8] for _ in range(100)]
    num_windows, most = windows_per_user(ItemSequences.from_lists([*ordinary, [9, 10] * 5000]), 50, 100)
    assert (num_windows[-1], most) == (200, 3)


def test_an_epoch_takes_as_many_windows_as_its_budget_allows_and_others_the_next_time() -> None:
    sequences = ItemSequences.from_lists([[user, 1, 2, 3] for user in range(40)])
    limits = {"max_inputs": 5, "max_user_examples": 100}
    epochs = WindowEpochs(sequences, **limits, examples_per_epoch=32)
    first, second = epochs.drawn(1), epochs.drawn(2)
    assert (len(first), len(second)) == (10, 10)
    assert first.tolist() == sorted(first.tolist()) != second.tolist()
    assert first.tolist() == epochs.drawn(1).tolist()
    assert len(WindowEpochs(sequences, **limits, examples_per_epoch=1).drawn(1)) == 1
    for enough in (120, 0):
        assert np.array_equal(WindowEpochs(sequences, **limits, examples_per_epoch=enough).drawn(1), epochs.windows)


NOTHING_HELD_OUT = np.zeros(NUM_ITEMS, dtype=np.bool_)
CONTENT = np.random.default_rng(0).normal(size=(NUM_ITEMS, 4)).astype(np.float32)


def fit(folder: Path, settings: DenseSettings = SETTINGS, content: np.ndarray = CONTENT) -> None:
    fit_dense_head(
        folder,
        cycles(),
        content,
        NOTHING_HELD_OUT,
        last_items(),
        settings,
        device=torch.device("cpu"),
        seed=1,
        progress=silent,
        report=lambda message: None,
    )


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=8), st.integers(1, 5), st.integers(1, 40)
)
def test_every_interaction_but_the_first_is_a_target_once(
    sequences: list[list[int]], max_inputs: int, positions_per_batch: int
) -> None:
    flat = ItemSequences.from_lists(sequences)
    windows = cut_windows(flat, max_inputs)
    batches = list(next_item_batches(flat, windows, positions_per_batch, seed=3)) if len(windows) else []
    targets = [int(target) for batch in batches for target in batch.targets.flatten() if target != NOTHING]
    assert sorted(targets) == sorted(item for sequence in sequences for item in sequence[1:])
    assert all(batch.inputs.shape[1] <= max_inputs for batch in batches)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=12), min_size=1, max_size=8),
    st.integers(1, 5),
)
def test_windows_ask_for_every_target_once_by_its_weight_and_for_nothing_else(
    sequences: list[list[tuple[int, bool]]], max_inputs: int
) -> None:
    flat = ItemSequences.from_lists([[item for item, _ in sequence] for sequence in sequences])
    is_target = np.array([target for sequence in sequences for _, target in sequence], dtype=np.bool_)
    flat = ItemSequences(flat.items, flat.offsets, 1 + flat.items.astype(np.float32), is_target)
    windows = cut_windows(flat, max_inputs)
    assert windows_per_user(flat, max_inputs, max_user_examples=0)[0].sum() == len(windows)
    found = []
    for batch in next_item_batches(flat, windows, 20, seed=3) if len(windows) else ():
        is_asked = batch.targets != NOTHING
        assert is_asked.any(dim=1).all()
        found += batch.targets[is_asked].tolist()
        weights = np.ones(batch.targets.shape) if batch.weights is None else batch.weights.numpy()
        assert weights[is_asked.numpy()].tolist() == [1 + item for item in batch.targets[is_asked].tolist()]
    assert sorted(found) == sorted(item for sequence in sequences for item, target in sequence[1:] if target)


def test_the_dense_loss_is_the_weighted_mean_over_targets() -> None:
    model = DenseModel(CONTENT, np.ones(NUM_ITEMS, np.bool_), NOTHING_HELD_OUT, SETTINGS).eval()
    inputs, targets = torch.tensor([[3, 1, 0], [2, 7, 5]]), torch.tensor([[1, 4, NOTHING], [7, 5, 6]])
    weights = torch.tensor([[0.5, 2.0, 0.0], [1.0, 0.0, 0.25]])
    of_each = []
    for place in (targets != NOTHING).nonzero().tolist():
        alone = torch.full_like(targets, NOTHING)
        alone[tuple(place)] = targets[tuple(place)]
        of_each.append(float(model.loss(NextItemBatch(inputs, alone), 0.0).detach()))
    expected = np.average(of_each, weights=weights[targets != NOTHING].numpy())
    found = model.loss(NextItemBatch(inputs, targets, weights), 0.0)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("encoder", "max_softmax_items"), [("recurrent", 20_000), ("transformer", 20_000), ("recurrent", 0)]
)
def test_a_constant_successor_is_learned(encoder: str, max_softmax_items: int, tmp_path: Path) -> None:
    chosen = replace(SETTINGS, encoder=encoder, width=24, max_epochs=12, patience=12)
    fit(tmp_path, replace(chosen, max_softmax_items=max_softmax_items))
    head = load_dense_head(tmp_path / "dense-head" / "trained")
    scores = head.log_probabilities(list(last_items().histories))
    assert scores.argmax(axis=1).tolist() == last_items().targets.tolist()
    assert load_progress(tmp_path).best_ndcg > 0.9


def test_an_item_without_interactions_has_the_vector_of_its_content(tmp_path: Path) -> None:
    fit(tmp_path)
    trained = load_dense_head(tmp_path / "dense-head" / "trained")
    as_new = load_dense_head(tmp_path / "dense-head" / "as-new")
    assert np.array_equal(trained.item_vectors[-1], as_new.item_vectors[-1])
    assert not np.allclose(trained.item_vectors[0], as_new.item_vectors[0])
    assert as_new.item_vectors == pytest.approx(CONTENT @ as_new.content_map, abs=1e-5)


def test_items_without_content_are_learned_too(tmp_path: Path) -> None:
    fit(tmp_path, content=np.zeros((NUM_ITEMS, 0), dtype=np.float32))
    head = load_dense_head(tmp_path / "dense-head" / "trained")
    assert head.content_map.shape == (0, SETTINGS.dim)
    assert np.array_equal(head.item_vectors[-1], np.zeros(SETTINGS.dim))


def test_held_out_items_teach_the_map_nothing_and_keep_their_own_part() -> None:
    is_held_out = torch.arange(NUM_ITEMS) == 3
    items = LearnedItemVectors(torch.from_numpy(CONTENT), torch.ones(NUM_ITEMS, dtype=torch.bool), is_held_out, dim=8)
    vectors = items.trained(own_dropout=1.0)
    by_content = items.all(as_new=True)
    assert torch.equal(vectors[3], by_content[3] + items.own[3])
    assert torch.equal(vectors[4], by_content[4])
    vectors[3].sum().backward()  # type: ignore[no-untyped-call]
    assert items.content_map.grad is None or not items.content_map.grad.any()
    assert items.own.grad is not None
    assert items.own.grad[3].all()


def test_some_vectors_are_those_of_all_trained_items_and_only_they_get_a_gradient() -> None:
    is_trained, is_held_out = torch.arange(NUM_ITEMS) != 0, torch.arange(NUM_ITEMS) == 3
    places = torch.tensor([1, 2, 7])
    for content in (CONTENT, np.eye(NUM_ITEMS, dtype=np.float32)):
        items = LearnedItemVectors(torch.from_numpy(content), is_trained, is_held_out, dim=8)
        gradients = []
        for vectors in (items.trained(0.0)[places], items.some(places, 0.0)):
            items.zero_grad()
            (vectors * torch.arange(1.0, 9.0)).square().sum().backward()  # type: ignore[no-untyped-call]
            assert items.own.grad is not None
            assert items.content_map.grad is not None
            gradients.append([vectors.detach(), items.own.grad.to_dense(), items.content_map.grad])
        for of_all, of_some in zip(*gradients, strict=True):
            torch.testing.assert_close(of_all, of_some)
        assert items.own.grad is not None
        assert items.own.grad.coalesce().indices().flatten().tolist() == places.tolist()


@pytest.mark.parametrize("max_softmax_items", [20_000, 0])
def test_an_interrupted_run_ends_where_an_undisturbed_one_does(max_softmax_items: int, tmp_path: Path) -> None:
    chosen = replace(SETTINGS, max_softmax_items=max_softmax_items)
    fit(tmp_path / "whole", chosen)
    stopped = []

    def stop_in_third_epoch(message: str) -> None:
        stopped.append(message)
        if len(stopped) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_dense_head(
            tmp_path / "resumed",
            cycles(),
            CONTENT,
            NOTHING_HELD_OUT,
            last_items(),
            chosen,
            device=torch.device("cpu"),
            seed=1,
            progress=silent,
            report=stop_in_third_epoch,
        )
    fit(tmp_path / "resumed", chosen)
    whole, resumed = (
        load_dense_head(tmp_path / name / "dense-head" / "trained").item_vectors for name in ("whole", "resumed")
    )
    assert np.array_equal(whole, resumed)


def test_sequences_without_successors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="two items in training"):
        fit_dense_head(
            tmp_path,
            ItemSequences.from_lists([[1], [2]]),
            CONTENT,
            NOTHING_HELD_OUT,
            last_items(),
            SETTINGS,
            device=torch.device("cpu"),
            seed=1,
            progress=silent,
            report=lambda message: None,
        )


def test_the_learning_rate_rises_then_falls() -> None:
    shares = [rate_share(epochs, SETTINGS) for epochs in (0.0, 0.05, 0.1, 2.0, 4.0)]
    assert shares == pytest.approx([0.05, 0.5, 0.9986, 0.55, 0.1], abs=1e-3)
