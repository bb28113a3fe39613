"""Items that lack a modality are on average as long as complete ones, by every scheme; complete items are unchanged."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.errors import FusionError
from clairo_core.fusion import EvenedFusion, Fusion, evened, fit_final_pca, fit_fusion, load_fusion
from clairo_core.fusion.evened import MOST_FACTOR, MOST_MODALITIES
from clairo_core.sequences import ItemSequences
from training.items.fit_learned_fusion import fit_attention

NUM_ITEMS = 200


def modality(dim: int, seed: int, spread: float = 1.0) -> ModalityEmbeddings:
    vectors = np.random.default_rng(seed).normal(size=(NUM_ITEMS, dim)) * spread
    return ModalityEmbeddings(vectors.astype(np.float32), np.ones(NUM_ITEMS, np.bool_))


MODALITIES = {"words": modality(12, 1), "sound": modality(9, 2), "shape": modality(7, 3)}


def having(present: Mapping[str, bool]) -> dict[str, ModalityEmbeddings]:
    return {
        name: ModalityEmbeddings(given.vectors, given.is_present & present.get(name, True))
        for name, given in MODALITIES.items()
    }


def mean_square(fusion: Fusion, embeddings: Mapping[str, ModalityEmbeddings]) -> float:
    return float(np.square(fusion.fuse(embeddings).item_embeddings).sum(axis=1).mean())


def attention() -> Fusion:
    histories = ItemSequences.from_lists([[row, row + 1, row + 2] for row in range(NUM_ITEMS - 2)])
    return fit_attention(fit_fusion(MODALITIES, 5), MODALITIES, histories, 0)[0]


SCHEMES = {
    "concat": lambda: fit_fusion(MODALITIES, 5),
    "weighted": lambda: fit_fusion(MODALITIES, 5, weights={"words": 2.0, "sound": 0.9}),
    "final pca": lambda: fit_final_pca(fit_fusion(MODALITIES, 5), MODALITIES, 8),
    "attention": attention,
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_item_with_missing_modalities_is_as_long_as_a_complete_one(scheme: str, tmp_path: Path) -> None:
    inner = SCHEMES[scheme]()
    fusion = evened(inner, MODALITIES)
    fusion.save(tmp_path)
    fusion = load_fusion(tmp_path)
    assert isinstance(fusion, EvenedFusion)
    assert fusion.modalities == tuple(MODALITIES)
    whole = mean_square(inner, MODALITIES)
    for present in product((True, False), repeat=3):
        if any(present):
            given = having(dict(zip(MODALITIES, present, strict=True)))
            assert mean_square(fusion, given) == pytest.approx(whole, rel=1e-4), present


def test_complete_items_and_empty_ones_are_not_scaled() -> None:
    inner = fit_fusion(MODALITIES, 5)
    fusion = evened(inner, MODALITIES)
    assert np.array_equal(fusion.fuse(MODALITIES).item_embeddings, inner.fuse(MODALITIES).item_embeddings)
    nothing = having(dict.fromkeys(MODALITIES, False))
    assert not fusion.fuse(nothing).item_embeddings.any()
    assert np.array_equal(fusion.modality_energies(np.eye(15)), inner.modality_energies(np.eye(15)))


def test_a_modality_with_almost_no_energy_stays_short() -> None:
    inner = fit_fusion(MODALITIES, 5, weights={"sound": 0.01})
    fusion = evened(inner, MODALITIES)
    sound = having({"words": False, "shape": False})
    assert mean_square(fusion, sound) == pytest.approx(MOST_FACTOR**2 * mean_square(inner, sound), rel=1e-4)


def test_factors_are_measured_on_complete_items_only() -> None:
    lacking = having({})
    lacking["sound"].is_present[50:] = False
    fusion = evened(fit_fusion(MODALITIES, 5), lacking)
    first = {name: given.select(np.arange(NUM_ITEMS) < 50) for name, given in MODALITIES.items()}
    expected = evened(fit_fusion(MODALITIES, 5), first)
    assert isinstance(fusion, EvenedFusion)
    assert isinstance(expected, EvenedFusion)
    assert np.array_equal(fusion.factors, expected.factors)


def test_nothing_is_scaled_with_one_modality_with_too_many_or_without_a_complete_item() -> None:
    one = {"words": MODALITIES["words"]}
    never_together = having({})
    never_together["words"].is_present[::2] = False
    never_together["sound"].is_present[1::2] = False
    alike = {name: ModalityEmbeddings(np.ones((5, 4), np.float32), np.ones(5, np.bool_)) for name in ("words", "sound")}
    many = {str(number): modality(4, number) for number in range(MOST_MODALITIES + 1)}
    for embeddings in (one, never_together, alike, many):
        fusion = fit_fusion(embeddings, 3)
        assert evened(fusion, embeddings) is fusion


def test_factors_of_another_number_of_modalities_are_refused_by_name(tmp_path: Path) -> None:
    evened(fit_fusion(MODALITIES, 5), MODALITIES).save(tmp_path)
    fit_fusion({"words": MODALITIES["words"]}, 5).save(tmp_path / "content")
    with pytest.raises(FusionError, match="factors"):
        load_fusion(tmp_path)
