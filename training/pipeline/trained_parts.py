"""The parts of a training run, together the recommender that is measured and written."""

from dataclasses import asdict, dataclass, replace

import numpy as np
from jaxtyping import Int64

from clairo_core.recommender import Recommender
from training.counts.item_weights_stage import FittedItemWeights
from training.generator.generator_stage import TrainedGenerator
from training.items.described_items import DescribedItems
from training.ranking.calibrate_new_items import NewItemCalibration
from training.ranking.dense_heads_stage import TrainedDenseHeads
from training.ranking.serving_points_stage import ChosenPoints
from training.vocabulary.vocabulary_stage import TrainedVocabulary


@dataclass(frozen=True, slots=True, eq=False)
class RankedParts:
    """The parts that are ranked together with the generator."""

    dense_heads: TrainedDenseHeads
    item_weights: FittedItemWeights
    new_items: NewItemCalibration | None
    """How new items fared when they were calibrated."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedParts:
    """Everything that a bundle is written from."""

    items: DescribedItems
    vocabulary: TrainedVocabulary
    generator: TrainedGenerator
    ranked: RankedParts | None
    """None in presets without a dense head."""
    serving: ChosenPoints
    """Chosen when they were measured."""
    recommender: Recommender
    """All of them together."""
    training_counts: Int64[np.ndarray, "item"]
    """How often each item occurs in what they have learned from."""

    @property
    def num_interactions(self) -> int:
        """That they have learned from."""
        return int(self.training_counts.sum())

    def without_item_weights(self) -> "TrainedParts":
        """For a refit, which counts again: item weights take gigabytes in a large catalogue."""
        ranked, ranking = self.ranked, self.recommender.joint_ranking
        if ranked is None or ranking is None:
            return self
        return replace(
            self,
            ranked=replace(ranked, item_weights=replace(ranked.item_weights, weights={}, together=None)),
            recommender=self.recommender.ranked_by(replace(ranking, item_weights={}, together=None)),
        )

    def progress(self) -> dict[str, object]:
        """The course of the trainings, ready for JSON."""
        of_dense = {} if self.ranked is None else {"dense": asdict(self.ranked.dense_heads.members[0].progress)}
        return {"fit": asdict(self.generator.progress), **of_dense}
