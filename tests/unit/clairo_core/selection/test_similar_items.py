"""Similar items: agreement with a slow twin, rows added later, and similarity per modality."""

import numpy as np
import pytest

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.fusion import fit_fusion
from clairo_core.selection.similar_items import EmbeddingTable, modality_similarities


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def test_the_most_similar_agree_with_comparing_one_by_one() -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    table = EmbeddingTable(vectors[:30])
    for vector in vectors[30:]:
        table.append(vector)
    is_allowed = np.arange(40) % 3 != 0
    for row in (2, 35):
        rows, cosines = table.most_similar(row, 7, is_allowed)
        others = [other for other in range(40) if is_allowed[other] and other != row]
        expected = sorted(others, key=lambda other: -cosine(vectors[row], vectors[other]))[:7]
        assert rows.tolist() == expected
        assert cosines == pytest.approx([cosine(vectors[row], vectors[other]) for other in expected], abs=1e-5)
    assert np.array_equal(table.of_rows(np.array([35, 2])), vectors[[35, 2]])


def test_an_item_without_content_is_not_found_and_finds_none() -> None:
    table = EmbeddingTable(np.eye(3, dtype=np.float32))
    table.append(None)
    assert len(table) == 4
    assert table.most_similar(0, 10, np.ones(4, dtype=np.bool_))[0].tolist() == [1, 2]
    assert table.most_similar(3, 10, np.ones(4, dtype=np.bool_))[0].tolist() == []


def test_ties_are_in_the_order_of_rows_and_a_short_list_has_all_items() -> None:
    table = EmbeddingTable(np.ones((5, 2), dtype=np.float32))
    assert table.most_similar(2, 3, np.ones(5, dtype=np.bool_))[0].tolist() == [0, 1, 3]
    assert table.most_similar(2, 3, np.zeros(5, dtype=np.bool_))[0].tolist() == []


def test_similarity_is_computed_per_modality() -> None:
    random = np.random.default_rng(1)
    text, image = random.normal(size=(30, 5)), random.normal(size=(30, 7))
    # Items 0 and 1 have the same words and different pictures; item 2 has no picture.
    text[1] = text[0]
    is_present = np.arange(30) != 2
    embeddings = {
        "text": ModalityEmbeddings(text.astype(np.float32), np.ones(30, dtype=np.bool_)),
        "image": ModalityEmbeddings(image.astype(np.float32), is_present),
    }
    fusion = fit_fusion(embeddings, 4)
    vectors = fusion.fuse(embeddings).item_embeddings
    found = modality_similarities(fusion, vectors[0], vectors[1:3])
    assert found[0, 0] == pytest.approx(1.0)
    assert found[0, 1] == pytest.approx(cosine(vectors[0, 4:], vectors[1, 4:]), abs=1e-6)
    assert found[1, 0] == pytest.approx(cosine(vectors[0, :4], vectors[2, :4]), abs=1e-6)
    assert np.isnan(found[1, 1])


def test_a_replaced_embedding_is_compared_and_the_given_ones_stay() -> None:
    random = np.random.default_rng(5)
    given, other = random.normal(size=(6, 4)).astype(np.float32), random.normal(size=(3, 4)).astype(np.float32)
    table = EmbeddingTable(given.copy())
    table.append(other[0])
    unchanged = table._first
    table.replace(2, other[1])
    table.replace(6, other[2])
    np.testing.assert_array_equal(unchanged, given)
    expected = EmbeddingTable(np.concatenate([given[:2], other[1:2], given[3:], other[2:]]))
    for row in range(7):
        np.testing.assert_allclose(table.cosines_with(row), expected.cosines_with(row), rtol=1e-6, atol=1e-6)
