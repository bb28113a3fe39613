"""The data, settings and tools of a training run, and everything that follows from the data once and for all."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
import torch
from jaxtyping import Bool, Int64

from clairo_core.progress import Progress
from clairo_core.sequences import ItemSequences
from training.config.preset import Preset
from training.datasets import Dataset
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.evaluation.split import (
    EvaluationSplit,
    HeldOut,
    held_out,
    some_users,
    test_split,
    training_sequences,
    validation_split,
)
from training.workbench.stage_cache import StageCache
from training.workbench.user_share import most_per_user, newest_of_each

MOST_SCORES_PER_EPOCH = 1_000_000_000
"""Users times items that validate one epoch: some ten seconds of a dense head, 1,000 users at a million items."""
FEWEST_ITEMS_TO_HOLD_OUT_OF = 20
"""With fewer training items, none is held out."""


@dataclass(frozen=True)
class Workbench:
    """One run's data, settings and tools."""

    dataset: Dataset
    preset: Preset
    seed: int
    device: torch.device
    stages: StageCache
    progress: Progress
    report: Callable[[str], None]
    learned: ItemSequences | None = None
    """What a refit learns from. None: the training sequences."""
    engine: Engine = IN_THIS_PROCESS
    """Where the pieces of stages run."""

    def learning_from(self, sequences: ItemSequences) -> "Workbench":
        """This workbench with other sequences to learn from, held-out interactions among them."""
        return replace(self, learned=sequences)

    @cached_property
    def item_ids(self) -> tuple[str, ...]:
        """Of the dataset's items, by row."""
        return tuple(item.item_id for item in self.dataset.items)

    @cached_property
    def training(self) -> ItemSequences:
        """The sequences to learn from."""
        return training_sequences(self.dataset) if self.learned is None else self.learned

    @property
    def growth(self) -> float:
        """The interactions to learn from, as a multiple of the training's: above 1 in a refit."""
        return len(self.training.items) / len(training_sequences(self.dataset).items)

    @property
    def training_digest(self) -> str:
        """SHA-256 of the sequences to learn from."""
        training = self.training
        digest = sha256(training.items.tobytes() + training.offsets.tobytes())
        for part in (training.weights, training.is_target):
            if part is not None:
                digest.update(part.tobytes())
        return digest.hexdigest()

    @cached_property
    def crowd(self) -> ItemSequences:
        """The training sequences for counting: of users far above the median only the newest items."""
        return newest_of_each(self.training, most_per_user(self.training.lengths, self.preset.fit.max_user_examples))

    @cached_property
    def training_counts(self) -> Int64[np.ndarray, "item"]:
        """How often each item occurs in the training sequences."""
        return np.bincount(self.training.items, minlength=len(self.dataset.items)).astype(np.int64)

    @cached_property
    def validation(self) -> EvaluationSplit:
        """All validation users, seen items masked as in the service."""
        return validation_split(self.dataset)

    def some_validation_users(self, count: int) -> EvaluationSplit:
        """A sample of at most `count` validation users, the same for every seed; 0 takes all."""
        return some_users(self.validation, count, seed=0)

    def users_per_epoch(self, count: int) -> EvaluationSplit:
        """`some_validation_users` to validate each epoch by: fewer where scoring all items costs too much, but one."""
        return self.some_validation_users(min(count, max(MOST_SCORES_PER_EPOCH // len(self.dataset.items), 1)))

    @cached_property
    def test(self) -> HeldOut:
        """All test users."""
        return held_out(test_split, self.dataset)

    @cached_property
    def is_training(self) -> Bool[np.ndarray, "item"]:
        """Whether each item occurs in a training sequence."""
        return self.training_counts > 0

    @cached_property
    def is_held_out(self) -> Bool[np.ndarray, "item"]:
        """Items whose content no part is fitted on: they stand for items posted later.

        An encoder that was fitted on an item's words describes it better than a posted item. Where calibration ignored
        that, new films took twice the places that they should. Items are drawn by id, so a run that takes encoders over
        from an earlier run with the same seed holds out items that they were not fitted on.
        """
        share = self.preset.dense.held_out_share
        # Without a dense head there is nothing to calibrate.
        if not self.preset.dense.dim or self.is_training.sum() < FEWEST_ITEMS_TO_HOLD_OUT_OF:
            share = 0.0
        drawn = [sha256(f"{self.seed} {item_id}".encode()).digest()[:8] for item_id in self.item_ids]
        return np.array([int.from_bytes(number, "big") < share * 2**64 for number in drawn], dtype=np.bool_)

    @cached_property
    def teaches(self) -> Bool[np.ndarray, "item"]:
        """Items whose content encoders, fusion and alignment are fitted on: training items that are not held out."""
        teaches: Bool[np.ndarray, "item"] = self.is_training & ~self.is_held_out
        return teaches
