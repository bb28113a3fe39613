"""Some users' candidates, and the features that the mixture is fitted on, standardized."""

import numpy as np

from training.ranking.fit_mixture import MixtureExamples, centers_and_scales, join_examples


def examples() -> MixtureExamples:
    """Three users with 3, 0 and 2 candidates; the first component proposed all but the second and the last."""
    scores = np.arange(10, dtype=np.float32).reshape(5, 2)
    is_proposed_by = np.stack([np.array([1, 0, 1, 1, 0]), np.array([0, 1, 1, 0, 1])], axis=1) == 1
    return MixtureExamples(
        ("generator", "dense"),
        ("together last",),
        scores,
        scores[:, :1] * 10,
        np.array([4, 0, 5, 6, 7]),
        np.array([False, False, True, False, False]),
        is_proposed_by,
        np.array([3, 0, 2]),
        np.array([1, 2, 3]),
        np.array([5, 0, 9]),
    )


def test_candidates_follow_their_users() -> None:
    turned = examples().of_users(np.array([2, 0]))
    assert turned.num_candidates.tolist() == [2, 3]
    assert turned.training_counts.tolist() == [6, 7, 4, 0, 5]
    assert turned.user_of.tolist() == [0, 0, 1, 1, 1]
    assert turned.history_lengths.tolist() == [3, 1]
    assert [turned.scores[of_user, 0].tolist() for of_user in turned.slices()] == [[6, 8], [0, 2, 4]]


def test_a_user_may_lose_all_candidates() -> None:
    kept = examples().of_candidates(np.array([False, True, True, False, False]))
    assert kept.num_candidates.tolist() == [2, 0, 0]
    assert kept.has_target.tolist() == [True, False, False]
    assert kept.target_counts.tolist() == [5, 0, 9]


def test_what_left_out_components_alone_proposed_goes() -> None:
    kept = examples().of_components(("generator",))
    assert kept.num_candidates.tolist() == [2, 0, 1]
    assert kept.scores.tolist() == [[0], [4], [6]]
    assert kept.evidence.tolist() == [[0], [40], [60]]
    assert examples().of_components(("dense", "generator")).scores.tolist() == examples().scores[:, ::-1].tolist()


def test_joined_users_keep_their_candidates() -> None:
    whole = examples()
    joined = join_examples([whole.of_users(np.array([0])), whole.of_users(np.array([1, 2]))])
    for name in ("scores", "evidence", "is_target", "is_proposed_by", "num_candidates", "target_counts"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def test_centers_and_scales_are_mean_and_deviation() -> None:
    features = np.random.default_rng(0).standard_normal((77, 3)).astype(np.float32)
    centers, scales = centers_and_scales(features)
    np.testing.assert_allclose(centers, features.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(scales, features.std(axis=0), rtol=1e-5)


def test_a_feature_that_never_varies_is_not_divided_by_zero() -> None:
    _, scales = centers_and_scales(np.ones((6, 1), dtype=np.float32))
    assert scales[0] > 0


def test_means_of_many_candidates_are_not_rounded_away() -> None:
    centers, _ = centers_and_scales(np.full((4_000_000, 1), 1.1, dtype=np.float32))
    np.testing.assert_allclose(centers, 1.1, rtol=1e-6)
