"""Make feature sets of which every language of a vocabulary spells enough to tell items apart."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int32

from clairo_core.feature_index import TakenFeatureSets
from clairo_core.features import COLLISION_CATEGORY, FeatureSpace, collision_capacity, nearest_free_feature_set
from clairo_core.tokens.spelling import Spelling, spelled_languages


def told_apart_in_languages(
    semantic_ids: Int[np.ndarray, "item codebook"], codebook_sizes: Sequence[int], codebook_names: Sequence[str]
) -> tuple[Int32[np.ndarray, "item category"], FeatureSpace]:
    """Append a collision index that is unique among items of equal codes in any language.

    The first free one is taken, as for posted items.

    Raises:
        VocabularyError: the codes are of fewer than two modalities.
    """
    names = (*codebook_names, COLLISION_CATEGORY)
    spelled = tuple(language.categories for language in spelled_languages(Spelling.LANGUAGES, names))
    # An item may be kept from an index by items that are alike in one language or in another.
    capacity = sum(collision_capacity(semantic_ids[:, categories[:-1]]) for categories in spelled)
    space = FeatureSpace(names, (*codebook_sizes, capacity))
    taken = TakenFeatureSets(spelled)
    feature_sets = []
    for codes in semantic_ids.tolist():
        feature_sets.append(nearest_free_feature_set([tuple(codes)], taken, space))
        taken.add(feature_sets[-1])
    return np.array(feature_sets, dtype=np.int32).reshape(len(feature_sets), len(names)), space
