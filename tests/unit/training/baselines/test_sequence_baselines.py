"""Neural baselines: attention masks, losses, learning, and resuming after an interruption."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from clairo_core.errors import TrainingError
from clairo_core.sequences import ItemSequences
from training.baselines.bert4rec import Bert4Rec, places_to_mask
from training.baselines.fit_sequence_model import (
    SEQUENCE_MODELS,
    FitBudget,
    choose_sequence_model,
    fit_sequence_model,
    load_sequence_model,
)
from training.baselines.gated_blocks import HstuBlock, LigrBlock
from training.baselines.padded_windows import Windows, last_windows, number_of_window_batches, window_batches
from training.baselines.sampled_softmax import NUM_NEGATIVES, STATES_PER_DRAW, mean_sampled_softmax_loss
from training.baselines.sequence_model import MAX_LENGTH, SequenceModelSettings, SequenceScorer
from training.evaluation.metrics import ranks_by_scores
from training.evaluation.split import EvaluationSplit

NUM_ITEMS = 9
SMALL = SequenceModelSettings(dim=16, dropout=0.1)
CYCLE = ItemSequences.from_lists([[(start + step) % NUM_ITEMS for step in range(6)] for start in range(NUM_ITEMS)] * 6)

torch.set_num_threads(1)


def cycle_split() -> EvaluationSplit:
    """Next item of a cycle, after four items."""
    histories = [[(start + step) % NUM_ITEMS for step in range(4)] for start in range(NUM_ITEMS)]
    targets = np.array([(start + 4) % NUM_ITEMS for start in range(NUM_ITEMS)], dtype=np.int32)
    return EvaluationSplit(ItemSequences.from_lists(histories), targets, np.arange(NUM_ITEMS, dtype=np.int32))


def windows_of(*histories: list[int]) -> Windows:
    return last_windows(ItemSequences.from_lists(histories), NUM_ITEMS, 50)


def test_windows_are_padded_at_the_end_and_keep_the_newest_items() -> None:
    windows = last_windows(ItemSequences.from_lists([[1, 2, 3, 4], [5], []]), NUM_ITEMS, 3)
    assert windows.items.tolist() == [[2, 3, 4], [5, 9, 9], [9, 9, 9]]
    assert windows.lengths.tolist() == [3, 1, 0]


@given(
    st.lists(st.lists(st.integers(0, 8), max_size=9), min_size=1, max_size=70),
    st.integers(1, 3),
    st.integers(2, 6),
    st.integers(0, 5),
)
def test_an_epoch_holds_one_part_of_every_sequence(
    sequences: list[list[int]], batch_size: int, max_length: int, seed: int
) -> None:
    training, random = ItemSequences.from_lists(sequences), np.random.default_rng(seed)
    batches = list(window_batches(training, 9, max_length=max_length, batch_size=batch_size, random=random))
    assert len(batches) == number_of_window_batches(training, batch_size)
    lengths = sorted(length for batch in batches for length in batch.lengths.tolist())
    assert lengths == sorted(min(len(sequence), max_length) for sequence in sequences if len(sequence) >= 2)
    parts = {
        tuple(sequence[start : start + max_length])
        for sequence in sequences
        for start in range(max(1, len(sequence) - max_length + 1))
    }
    for batch in batches:
        for row, length in zip(batch.items.tolist(), batch.lengths.tolist(), strict=True):
            assert tuple(row[:length]) in parts
            assert set(row[length:]) <= {9}


def typed(sequences: list[list[int]], weights: list[float], is_target: list[bool] | None = None) -> ItemSequences:
    return replace(
        ItemSequences.from_lists(sequences),
        weights=np.array(weights, np.float32),
        is_target=None if is_target is None else np.array(is_target),
    )


def only_window(training: ItemSequences) -> Windows:
    (windows,) = window_batches(training, NUM_ITEMS, max_length=9, batch_size=9, random=np.random.default_rng(0))
    return windows


def test_windows_have_the_weights_of_their_events_as_targets() -> None:
    windows = only_window(typed([[1, 2, 3], [4, 5]], [1, 0.5, 0.25, 1, 0.125], [True, True, False, True, True]))
    of_items = {
        int(item): float(weight) for item, weight in zip(windows.items.ravel(), windows.weights.ravel(), strict=True)
    }
    assert of_items == {1: 1.0, 2: 0.5, 3: 0.0, 4: 1.0, 5: 0.125, NUM_ITEMS: 0.0}
    assert only_window(CYCLE.select(np.arange(5))).weights is None


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_a_loss_is_a_mean_by_weight_and_plain_where_all_weigh_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = SEQUENCE_MODELS[name](NUM_ITEMS, SMALL).eval()

    def loss_of(weights: list[float], is_target: list[bool] | None = None) -> torch.Tensor:
        torch.manual_seed(1)
        loss: torch.Tensor = model.loss(only_window(typed([[1, 2, 3, 4]], weights, is_target)))
        return loss

    plain = loss_of([1, 1, 1, 1])
    assert loss_of([0.5] * 4).item() == pytest.approx(plain.item(), rel=1e-5)
    assert loss_of([1, 0.1, 0.5, 1]).item() != pytest.approx(plain.item(), rel=1e-4)
    without_target = loss_of([1] * 4, [False] * 4)
    assert without_target.item() == 0.0
    without_target.backward()
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
def test_an_event_that_is_not_a_target_is_not_predicted(name: str) -> None:
    torch.manual_seed(0)
    model = SEQUENCE_MODELS[name](NUM_ITEMS, SMALL).eval()
    longer = model.loss(only_window(typed([[1, 2, 3]], [1, 1, 1], [True, True, False])))
    assert longer.item() == pytest.approx(model.loss(windows_of([1, 2])).item(), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in SEQUENCE_MODELS if name != "bert4rec"])
def test_states_do_not_depend_on_later_items(name: str) -> None:
    torch.manual_seed(0)
    model = SEQUENCE_MODELS[name](NUM_ITEMS, SMALL).eval()
    before, after = model.states(windows_of([1, 2, 3, 4, 5])), model.states(windows_of([1, 2, 3, 8, 0]))
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[:, 3:], after[:, 3:], atol=1e-3)


def test_sampled_softmax_is_the_full_one_over_the_drawn_items() -> None:
    torch.manual_seed(0)
    num_states = STATES_PER_DRAW + 1
    states, rows = torch.randn(num_states, 4), torch.randn(NUM_ITEMS, 4)
    targets, weights = torch.randint(NUM_ITEMS, (num_states,)), torch.rand(num_states)
    torch.manual_seed(1)
    loss = mean_sampled_softmax_loss(states, rows, targets, weights)
    torch.manual_seed(1)
    draws = torch.randint(NUM_ITEMS, (2, NUM_NEGATIVES)).tolist()
    by_hand = 0.0
    for place, (state, target, weight) in enumerate(zip(states, targets.tolist(), weights.tolist(), strict=True)):
        negatives = [item for item in draws[place // STATES_PER_DRAW] if item != target]
        logits = rows[[target, *negatives]] @ state
        by_hand += weight * float(logits.exp().sum().log() - logits[0])
    assert float(loss) == pytest.approx(by_hand / float(weights.sum()), rel=1e-5)


def test_a_ligr_block_adds_nothing_where_its_gates_are_closed() -> None:
    block, states = LigrBlock(4, 2, dropout=0.0), torch.randn(1, 3, 4)
    for gate in (block.attention_gate, block.feed_forward_gate):
        torch.nn.init.zeros_(gate.weight)
        torch.nn.init.constant_(gate.bias, -100.0)
    assert torch.allclose(block(states), states)
    torch.nn.init.zeros_(block.attention_gate.bias)
    assert not torch.allclose(block(states), states, atol=1e-3)


def test_an_hstu_block_is_its_formula_place_by_place() -> None:
    torch.manual_seed(0)
    block, states = HstuBlock(4, 2, dropout=0.0), torch.randn(1, 3, 4)
    torch.nn.init.normal_(block.of_distance)
    gate, value, query, key = functional.silu(block.gate_value_query_key(block.input_norm(states[0]))).split(4, dim=1)
    expected = []
    for place in range(3):
        attended = torch.zeros(4)
        for earlier in range(place + 1):
            for head in (slice(0, 2), slice(2, 4)):
                score = query[place, head] @ key[earlier, head] + block.of_distance[place - earlier]
                attended[head] += functional.silu(score) / MAX_LENGTH * value[earlier, head]
        expected.append(states[0, place] + block.output(block.attended_norm(attended) * gate[place]))
    assert torch.allclose(block(states)[0], torch.stack(expected), atol=1e-5)


def test_bert4rec_attends_both_ways_but_never_to_masked_items() -> None:
    torch.manual_seed(0)
    model = Bert4Rec(NUM_ITEMS, SMALL).eval()
    behind = model.states(torch.tensor([[1, model.mask, 3], [1, model.mask, 8]]))[:, 1]
    assert not torch.allclose(behind[0], behind[1], atol=1e-4)
    padded = model.states(torch.tensor([[1, model.mask, NUM_ITEMS]]))[0, :2]
    assert torch.allclose(padded, model.states(torch.tensor([[1, model.mask]]))[0], atol=1e-6)


def test_half_of_the_windows_mask_only_their_last_item() -> None:
    torch.manual_seed(0)
    lengths = torch.full((4000,), 8)
    is_masked = places_to_mask(10, lengths)
    assert not is_masked[:, 8:].any()
    assert is_masked.any(dim=1).all()
    is_last_alone = is_masked[:, 7] & (is_masked.sum(dim=1) == 1)
    assert 0.48 < float(is_last_alone.float().mean()) < 0.56
    assert 0.28 < float(is_masked[~is_last_alone].float()[:, :8].mean()) < 0.36


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_scores_do_not_depend_on_padding_or_other_users(name: str) -> None:
    torch.manual_seed(0)
    model = SEQUENCE_MODELS[name](NUM_ITEMS, SMALL)
    scorer = SequenceScorer(model, model, NUM_ITEMS)
    alone = scorer.scores(ItemSequences.from_lists([[3, 1]]))
    among = scorer.scores(ItemSequences.from_lists([[3, 1], [1, 2, 3, 4, 5, 6], []]))
    assert among.shape == (3, NUM_ITEMS)
    assert np.isfinite(among).all()
    assert among[0] == pytest.approx(alone[0], abs=1e-5)


@pytest.mark.parametrize(
    ("name", "num_epochs"),
    [("sasrec", 8), ("sasrec_sampled", 8), ("esasrec", 8), ("hstu", 8), ("gru4rec", 12), ("bert4rec", 60)],
)
def test_a_deterministic_cycle_is_learned(name: str, num_epochs: int, tmp_path: Path) -> None:
    settings = SequenceModelSettings(dim=32, dropout=0.0)
    budget = FitBudget(learning_rate=0.003, batch_size=16, max_epochs=num_epochs, patience=num_epochs)
    split = cycle_split()
    scorer, state = fit_sequence_model(
        SEQUENCE_MODELS[name], tmp_path, CYCLE, NUM_ITEMS, split, settings, budget, 0, name
    )
    assert state.best_ndcg == 1.0
    assert state.losses[-1] < state.losses[0]
    # The best epoch's model is returned, not the last one's.
    _, masked = ranks_by_scores(scorer.scores(split.histories), split.targets, split.histories)
    assert masked.tolist() == [1] * NUM_ITEMS


@pytest.mark.parametrize("name", ["sasrec", "sasrec_sampled", "gru4rec", "bert4rec"])
def test_an_interrupted_training_resumes_to_the_same_result(name: str, tmp_path: Path) -> None:
    budget = FitBudget(learning_rate=0.01, batch_size=16, max_epochs=3)

    def dies_in_epoch_three(steps: Iterable[Windows], label: str, total: int | None = None) -> Iterator[Windows]:
        for number, step in enumerate(steps):
            if "epoch 3/" in label and number == 1:
                raise KeyboardInterrupt
            yield step

    def fit(folder: Path, seed: int = 0, **progress: object) -> np.ndarray:
        scorer, _ = fit_sequence_model(
            SEQUENCE_MODELS[name], folder, CYCLE, NUM_ITEMS, cycle_split(), SMALL, budget, seed, name, **progress
        )
        return scorer.scores(CYCLE)

    whole = fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", progress=dies_in_epoch_three)
    assert np.array_equal(fit(tmp_path / "killed"), whole)
    assert np.array_equal(fit(tmp_path / "killed"), whole), "a finished training is only read"
    assert not np.array_equal(fit(tmp_path / "other", seed=1), whole)


def test_validation_chooses_among_the_candidates(tmp_path: Path) -> None:
    grid = (SequenceModelSettings(dim=2, dropout=0.9), SMALL)
    budget = FitBudget(learning_rate=0.01, batch_size=16, max_epochs=12)
    choice = choose_sequence_model("sasrec", tmp_path, CYCLE, NUM_ITEMS, cycle_split(), grid=grid, budget=budget)
    assert choice.settings == SMALL
    assert [settings for settings, _ in choice.tried] == list(grid)
    assert choice.tried[1][1] > choice.tried[0][1]
    loaded, state = load_sequence_model("sasrec", tmp_path, NUM_ITEMS)
    assert np.array_equal(loaded.scores(CYCLE), choice.scorer.scores(CYCLE))
    assert state.best_ndcg == choice.tried[1][1]


def test_training_without_pairs_is_refused(tmp_path: Path) -> None:
    single = ItemSequences.from_lists([[1], [2]])
    with pytest.raises(TrainingError, match="two items"):
        choose_sequence_model("sasrec", tmp_path, single, NUM_ITEMS, cycle_split())
    with pytest.raises(TrainingError, match="no settings"):
        choose_sequence_model("sasrec", tmp_path, CYCLE, NUM_ITEMS, cycle_split(), grid=())
