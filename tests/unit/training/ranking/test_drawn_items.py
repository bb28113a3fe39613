"""Items drawn for a step's softmax stand for the whole catalogue."""

import numpy as np
import pytest
import torch

from clairo_core.sequences import ItemSequences
from training.ranking.drawn_items import NUM_DRAWN, item_draw

CPU = torch.device("cpu")


def test_a_popular_item_stands_for_itself_and_a_rare_one_for_the_inverse_of_its_chance() -> None:
    num_items = 100_000
    sequences = ItemSequences.from_lists([[0] * num_items, range(num_items)])
    draw = item_draw(sequences, CPU)
    torch.manual_seed(0)
    items, log_counts = draw.draw(torch.zeros(0, dtype=torch.long))
    share = 1 / (np.sqrt(num_items + 1) + num_items - 1)
    assert items.tolist() == sorted(set(items.tolist()))
    assert float(log_counts[0].exp()) == pytest.approx(1 / (1 - (1 - share * np.sqrt(num_items + 1)) ** NUM_DRAWN))
    assert float(log_counts[5].exp()) == pytest.approx(1 / (1 - (1 - share) ** NUM_DRAWN), rel=1e-3)


def test_drawn_items_stand_for_all_on_average() -> None:
    random = np.random.default_rng(0)
    num_items = 20_000
    sequences = ItemSequences.from_lists([random.zipf(1.3, 200_000) % num_items, range(num_items)])
    targets, draw = (
        torch.from_numpy(np.delete(sequences.items, [0, 200_000]).astype(np.int64)),
        item_draw(sequences, CPU),
    )
    torch.manual_seed(0)
    counts = [draw.draw(targets[torch.randint(len(targets), (1000,))])[1].exp().sum() for _ in range(40)]
    assert float(torch.stack(counts).mean()) == pytest.approx(num_items, rel=0.02)


def test_places_are_those_of_the_trained_items_and_targets_are_always_drawn() -> None:
    draw = item_draw(ItemSequences.from_lists([[7, 900, 7], [50, 7]]), CPU)
    # 50 is never a target: its batch share is 0.
    assert draw.target_shares.tolist() == pytest.approx([2 / 3, 0, 1 / 3])
    items, log_counts = draw.draw(torch.tensor([2, 0]))
    assert items.tolist() == [0, 1, 2]
    assert torch.isfinite(log_counts).all()
