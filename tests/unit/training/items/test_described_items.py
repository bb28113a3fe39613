"""Items without content are described by their features."""

import numpy as np

from clairo_core.features import COLLISION_CATEGORY, FeatureSpace
from training.items.described_items import DescribedItems


def test_precomputed_codes_become_one_column_per_feature_without_the_collision_index() -> None:
    space = FeatureSpace(("a", COLLISION_CATEGORY, "b"), (2, 4, 3))
    items = DescribedItems(np.array([[1, 3, 0], [0, 0, 2]], dtype=np.int32), space, "key")
    columns = items.as_posted()
    assert columns.dtype == np.float32
    assert columns.tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]
