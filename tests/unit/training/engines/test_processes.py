"""Shares of a batch: every example belongs to one process, and their losses average to the batch's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.engines.processes import ALONE, Processes
from training.generator.examples import TrainingBatch
from training.workbench.next_item_windows import NOTHING, NextItemBatch


def windows(weights: list[float]) -> NextItemBatch:
    """A window of one target for each weight, and a position without one."""
    inputs = torch.arange(2 * len(weights)).view(-1, 2)
    targets = torch.stack([inputs[:, 1], torch.full_like(inputs[:, 1], NOTHING)], dim=1)
    return NextItemBatch(inputs, targets, torch.tensor(weights)[:, None].expand(-1, 2))


def examples(weights: list[float]) -> TrainingBatch:
    rows = np.arange(len(weights), dtype=np.int32)
    return TrainingBatch(rows[:, None], rows * 0 + 1, rows[:, None], rows, np.array(weights, dtype=np.float32))


@given(st.lists(st.floats(0.25, 4.0, width=32), min_size=1, max_size=9), st.integers(1, 5))
def test_the_mean_of_all_shares_is_the_mean_of_the_batch(weights: list[float], count: int) -> None:
    values = np.arange(len(weights)) ** 2
    for batch in (windows(weights), examples(weights)):
        losses = []
        for number in range(count):
            share, weight = Processes(number, count).share_of(batch)
            of_windows = isinstance(share, NextItemBatch)
            rows = share.inputs[:, 0] // 2 if of_windows else share.targets
            each = share.weights[:, 0] if of_windows else share.weights
            assert len(rows)
            losses.append(weight * np.average(values[np.asarray(rows)], weights=np.asarray(each)))
        assert np.mean(losses) == pytest.approx(np.average(values, weights=weights), rel=1e-5)


def test_one_process_takes_the_loss_as_it_is() -> None:
    def loss_of(batch: torch.Tensor) -> torch.Tensor:
        return batch

    assert ALONE.shared_loss(torch.nn.Linear(1, 1), loss_of) is loss_of
    assert ALONE.mean(torch.tensor(3.0)) == ALONE.by_first(lambda: 3.0) == 3.0
