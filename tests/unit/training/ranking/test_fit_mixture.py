"""What the mixture is fitted on: features of known candidates, standardized."""

import numpy as np

from training.ranking.fit_mixture import centers_and_scales


def test_centers_and_scales_are_those_of_known_candidates_alone() -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((7, 11, 3)).astype(np.float32)
    is_known = random.random((7, 11)) < 0.6
    features[~is_known] = 1e6
    centers, scales = centers_and_scales(features, is_known)
    np.testing.assert_allclose(centers, features[is_known].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scales, features[is_known].std(axis=0), rtol=1e-5)


def test_a_feature_that_never_varies_is_not_divided_by_zero() -> None:
    _, scales = centers_and_scales(np.ones((2, 3, 1), dtype=np.float32), np.ones((2, 3), dtype=np.bool_))
    assert scales[0] > 0


def test_means_of_many_candidates_are_not_rounded_away() -> None:
    features = np.full((2, 2_000_000, 1), 1.1, dtype=np.float32)
    centers, _ = centers_and_scales(features, np.ones(features.shape[:2], dtype=np.bool_))
    np.testing.assert_allclose(centers, 1.1, rtol=1e-6)
