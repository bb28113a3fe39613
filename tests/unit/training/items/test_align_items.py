"""Items are placed by behaviour, and by content while they have none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.errors import FusionError
from clairo_core.fusion import AlignedFusion, fit_fusion, load_fusion
from clairo_core.sequences import ItemSequences
from training.config.preset import AlignSettings
from training.items import behaviour
from training.items.align_items import align_items, can_align
from training.items.behaviour import behaviour_vectors, has_neighbour, neighbour_counts
from training.items.fitted_items import fitted_items, sampled_items

SETTINGS = AlignSettings(dim=8, window=2, prior_interactions=5.0)
EITHER_KIND = pytest.mark.parametrize("kind", ["neighbours", "graph"])
NUM_GROUPS, GROUP = 6, 12
NUM_ITEMS = NUM_GROUPS * GROUP
NOBODY = np.zeros(NUM_ITEMS, dtype=np.bool_)


def group_of(item: np.ndarray) -> np.ndarray:
    return item // GROUP


def sequences_within_groups(num_users: int = 300, seed: int = 0) -> ItemSequences:
    """Every user stays in one group. The last item of each group is never used."""
    random = np.random.default_rng(seed)
    groups = random.integers(NUM_GROUPS, size=num_users)
    return ItemSequences.from_lists([(group * GROUP + random.permutation(GROUP - 1)[:6]).tolist() for group in groups])


def content_with_noise(seed: int = 1) -> np.ndarray:
    """Content with one direction per group, drowned in noise."""
    random = np.random.default_rng(seed)
    groups = np.eye(NUM_GROUPS)[group_of(np.arange(NUM_ITEMS))]
    return np.concatenate([groups, 3 * random.normal(size=(NUM_ITEMS, 4))], axis=1).astype(np.float32)


def nearest(vectors: np.ndarray) -> np.ndarray:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    similarity = (vectors / lengths) @ (vectors / lengths).T
    np.fill_diagonal(similarity, -np.inf)
    return np.asarray(similarity.argmax(axis=1))


def test_neighbours_in_a_history_are_counted_both_ways_and_by_distance() -> None:
    counts = neighbour_counts(ItemSequences.from_lists([[0, 1, 2], [1, 0], [2, 2]]), 4, window=2).toarray()
    assert counts[0, 1] == counts[1, 0] == 2.0
    assert counts[0, 2] == counts[2, 0] == 0.5
    assert counts[2, 2] == 0.0, "an item is not its own neighbour"
    assert not counts[3].any()


@drawn(st.lists(st.lists(st.integers(0, 5), max_size=9), min_size=1, max_size=6), st.integers(1, 9))
def test_neighbours_are_counted_to_the_bit_in_any_pieces(sequences: list[list[int]], most_pairs: int) -> None:
    flat = ItemSequences.from_lists(sequences)
    weights = np.random.default_rng(0).uniform(0.1, 3.0, len(flat.items)).astype(np.float32)
    weighted, found = ItemSequences(flat.items, flat.offsets, weights), []
    for most in (behaviour.MOST_PAIRS, most_pairs):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(behaviour, "MOST_PAIRS", most)
            found.append(neighbour_counts(weighted, 6, window=3).toarray().tobytes())
    assert found[0] == found[1]


def test_items_used_together_have_vectors_that_are_close() -> None:
    vectors = behaviour_vectors(sequences_within_groups(), NUM_ITEMS, dim=8, window=2)
    used = np.arange(NUM_ITEMS) % GROUP != GROUP - 1
    assert np.linalg.norm(vectors[used], axis=1) == pytest.approx(1.0)
    assert not vectors[~used].any()
    assert (group_of(nearest(vectors))[used] == group_of(np.arange(NUM_ITEMS))[used]).all()


def test_no_pair_and_few_items_give_zeros_not_an_error() -> None:
    assert not behaviour_vectors(ItemSequences.from_lists([[0], [1]]), 3, dim=8, window=2).any()
    assert behaviour_vectors(ItemSequences.from_lists([[0, 1]]), 2, dim=8, window=2).shape == (2, 8)


@EITHER_KIND
def test_an_unused_item_is_placed_with_its_kind_despite_noisy_content(kind: str) -> None:
    content = content_with_noise()
    unused = np.arange(GROUP - 1, NUM_ITEMS, GROUP)
    is_training = np.ones(NUM_ITEMS, dtype=np.bool_)
    is_training[unused] = False
    aligned = align_items(content, is_training, sequences_within_groups(), replace(SETTINGS, kind=kind), 0, NOBODY)
    placed = aligned.item_embeddings
    assert (group_of(nearest(placed))[unused] == group_of(unused)).all()
    assert (group_of(nearest(content))[unused] == group_of(unused)).mean() < 1.0, "content alone is not enough"
    assert 0.5 < aligned.explained <= 1.0
    by_content = content[unused] @ aligned.alignment
    np.testing.assert_allclose(placed[unused], by_content, atol=1e-5, err_msg="as an item posted later is placed")


@EITHER_KIND
def test_held_out_items_are_placed_like_all_others_but_teach_nothing(kind: str) -> None:
    content = content_with_noise()
    is_training = np.ones(NUM_ITEMS, dtype=np.bool_)
    is_held_out = np.arange(NUM_ITEMS) % GROUP == 0
    errors = []
    for held_out in (NOBODY, is_held_out):
        aligned = align_items(
            content, is_training, sequences_within_groups(), replace(SETTINGS, kind=kind), 0, held_out
        )
        assert (group_of(nearest(aligned.item_embeddings)) == group_of(np.arange(NUM_ITEMS))).all()
        placed_as_posted = content @ aligned.alignment
        errors.append(np.square(placed_as_posted - aligned.item_embeddings)[is_held_out].sum())
    assert errors[0] < errors[1], "a regression fitted on an item places it better than a posted one"


@EITHER_KIND
def test_what_content_predicts_is_the_same_whatever_content_held_out_items_have(kind: str) -> None:
    content, is_held_out = content_with_noise(), np.arange(NUM_ITEMS) % GROUP == 0
    swapped = content.copy()
    # The same values in other rows: the unit of content stays.
    swapped[is_held_out] = content[is_held_out][::-1]
    settings = replace(SETTINGS, kind=kind)
    explained = [
        align_items(one, ~NOBODY, sequences_within_groups(), settings, 0, is_held_out).explained
        for one in (content, swapped)
    ]
    assert explained[0] == pytest.approx(explained[1], rel=1e-6)


def test_the_more_an_item_is_used_the_less_its_content_decides() -> None:
    content = content_with_noise()
    is_training = np.ones(NUM_ITEMS, dtype=np.bool_)
    distances = []
    for prior in (0.5, 5.0, 5000.0):
        settings = AlignSettings(dim=8, window=2, prior_interactions=prior)
        aligned = align_items(content, is_training, sequences_within_groups(), settings, 0, NOBODY)
        predicted = content @ aligned.alignment
        distances.append(float(np.linalg.norm(aligned.item_embeddings - predicted)))
    assert distances == sorted(distances, reverse=True)


def test_too_few_items_used_twice_beside_others_are_not_aligned() -> None:
    def twice_each(num_items: int) -> ItemSequences:
        return ItemSequences.from_lists([list(range(num_items))] * 2)

    assert can_align(twice_each(16), 16, SETTINGS)
    assert not can_align(twice_each(15), 20, SETTINGS)
    assert not can_align(ItemSequences.from_lists([list(range(1000))]), 1000, SETTINGS), "used once each"
    assert not can_align(ItemSequences.from_lists([[item] for item in range(100)] * 2), 100, SETTINGS), "always alone"
    assert not can_align(twice_each(1000), 1000, AlignSettings(dim=0))


@pytest.mark.parametrize("prior_interactions", [0.0, 20.0])
def test_constant_content_leaves_placement_to_behaviour(prior_interactions: float) -> None:
    is_training = np.arange(NUM_ITEMS) % GROUP != GROUP - 1
    settings = AlignSettings(dim=8, window=2, prior_interactions=prior_interactions)
    placed = align_items(
        np.zeros((NUM_ITEMS, 5), np.float32), is_training, sequences_within_groups(), settings, 0, NOBODY
    )
    assert np.isfinite(placed.item_embeddings).all()
    used = np.flatnonzero(is_training)
    assert (group_of(nearest(placed.item_embeddings))[used] == group_of(used)).all()
    assert not placed.item_embeddings[~is_training].any(), "unused items have no behaviour"


def test_behaviour_of_one_dimension_says_nothing_and_content_decides() -> None:
    """All vectors of length 1 are alike: the first component of what is used together has one sign."""
    everybody = ItemSequences.from_lists([np.random.default_rng(user).permutation(12).tolist() for user in range(60)])
    content = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    everything, nothing = np.ones(12, dtype=np.bool_), np.zeros(12, dtype=np.bool_)
    placed = align_items(content, everything, everybody, AlignSettings(dim=1, window=11), 0, nothing)
    assert np.isfinite(placed.item_embeddings).all()
    assert np.isfinite(placed.alignment).all()
    assert placed.explained == 0.0


def some_embeddings() -> ModalityEmbeddings:
    vectors = np.random.default_rng(0).normal(size=(30, 10)).astype(np.float32)
    return ModalityEmbeddings(vectors, np.ones(30, dtype=np.bool_))


def test_an_aligned_fusion_survives_saving_and_loading(tmp_path: Path) -> None:
    given = {"text": some_embeddings()}
    content = fit_fusion(given, 4)
    fusion = AlignedFusion(
        content, np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32), np.ones(4, np.float32)
    )
    fusion.save(tmp_path)
    again = load_fusion(tmp_path)
    assert (again.dim, again.modalities) == (3, ("text",))
    np.testing.assert_array_equal(again.fuse(given).item_embeddings, fusion.fuse(given).item_embeddings)
    expected = content.fuse(given).item_embeddings @ fusion.alignment
    np.testing.assert_array_equal(fusion.fuse(given).item_embeddings, expected)


def test_content_separates_items_that_are_used_alike() -> None:
    content = content_with_noise()
    is_training = np.ones(NUM_ITEMS, dtype=np.bool_)
    sequences = sequences_within_groups()
    spread = {}
    for weight in (0.0, 1.0):
        settings = AlignSettings(dim=16, window=2, content_weight=weight)
        placed = align_items(content, is_training, sequences, settings, 0, NOBODY).item_embeddings
        centres = np.stack(
            [placed[group_of(np.arange(NUM_ITEMS)) == group].mean(axis=0) for group in range(NUM_GROUPS)]
        )
        spread[weight] = np.square(placed - centres[group_of(np.arange(NUM_ITEMS))]).sum()
    assert spread[1.0] > 2 * spread[0.0]


def test_a_matrix_that_does_not_fit_its_content_is_refused(tmp_path: Path) -> None:
    AlignedFusion(
        fit_fusion({"text": some_embeddings()}, 4), np.zeros((5, 3), np.float32), np.ones(4, np.float32)
    ).save(tmp_path)
    with pytest.raises(FusionError, match="alignment"):
        load_fusion(tmp_path)


def test_a_direction_belongs_to_the_modality_whose_content_varies_along_it() -> None:
    given = {"text": some_embeddings(), "image": some_embeddings()}
    content = fit_fusion(given, 2)
    alignment = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0], [0.0, 0.0]], np.float32)
    energies = AlignedFusion(content, alignment, np.ones(4, np.float32)).modality_energies(np.eye(2))
    np.testing.assert_allclose(energies, [[1.0, 0.0], [0.0, 4.0]])


@EITHER_KIND
def test_a_catalogue_in_blocks_and_in_single_precision_is_placed_as_a_small_one(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_with_noise()
    settings = replace(SETTINGS, kind=kind)
    whole = align_items(content, ~NOBODY, sequences_within_groups(), settings, 0, NOBODY)
    monkeypatch.setattr("clairo_core.fusion.row_blocks.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("training.items.behaviour.MOST_DOUBLE_ITEMS", 1)
    cut = align_items(content, ~NOBODY, sequences_within_groups(), settings, 0, NOBODY)
    np.testing.assert_allclose(cut.item_embeddings, whole.item_embeddings, atol=2e-4)
    np.testing.assert_allclose(cut.alignment, whole.alignment, atol=2e-4)
    given = {"text": some_embeddings()}
    in_blocks = fit_fusion(given, 4).fuse(given).item_embeddings
    monkeypatch.undo()
    np.testing.assert_allclose(fit_fusion(given, 4).fuse(given).item_embeddings, in_blocks, atol=1e-6)


@drawn(st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=8), st.integers(1, 3))
def test_items_with_a_neighbour_are_those_that_counts_have(lists: list[list[int]], window: int) -> None:
    training = ItemSequences.from_lists(lists)
    counted = np.diff(neighbour_counts(training, 6, window).indptr) > 0
    assert np.array_equal(has_neighbour(training, 6, window), counted)


def test_a_fusion_of_many_items_is_fitted_on_a_sample_with_all_items_of_a_rare_modality(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = some_embeddings()
    image = ModalityEmbeddings(text.vectors, np.arange(30) % 10 == 0)
    is_training = np.arange(30) != 20
    embeddings = {"text": text, "image": image}
    assert fitted_items(embeddings, is_training, 0) is is_training
    monkeypatch.setattr("training.items.fitted_items.MOST_FITTED_ITEMS", 6)
    is_fitted = fitted_items(embeddings, is_training, 0)
    assert np.array_equal(np.flatnonzero(is_fitted & image.is_present), [0, 10])
    assert 6 <= is_fitted.sum() <= 8
    assert not (is_fitted & ~is_training).any()
    assert sampled_items(is_training, 0).sum() == 6
