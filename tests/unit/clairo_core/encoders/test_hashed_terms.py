"""Hashed terms are scikit-learn's, bit by bit: encoders fitted before go on working."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

from clairo_core.encoders.hashed_terms import NUM_HASHES, count_hashes, of_unit_length

PLAIN = {"n_features": NUM_HASHES, "lowercase": False, "alternate_sign": False, "norm": None, "dtype": np.float32}
VECTORIZERS = {
    "word": HashingVectorizer(**PLAIN, analyzer="word", token_pattern=r"\w+"),
    "ngram": HashingVectorizer(**PLAIN, analyzer="char_wb", ngram_range=(2, 4), token_pattern=None),
}
TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["a mug, a mug", "茶碗\u2028 a"]))


def is_same(one: sparse.csr_matrix, other: sparse.csr_matrix) -> bool:
    assert one.shape == other.shape
    assert one.dtype == other.dtype == np.float32
    parts = ("data", "indices", "indptr")
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in parts)


@settings(deadline=None)
@given(TEXTS.filter(bool), st.sampled_from(list(VECTORIZERS)))
def test_counts_are_those_of_the_hashing_vectorizer(texts: list[str], sort: str) -> None:
    assert is_same(count_hashes(texts, sort), VECTORIZERS[sort].transform(texts))


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_rows_of_unit_length_are_those_of_scikit_learn(seed: int) -> None:
    rows = sparse.random(7, 90, density=0.3, format="csr", dtype=np.float32, random_state=seed)
    rows.data *= np.float32(10.0 ** (seed % 9 - 4))
    assert is_same(of_unit_length(rows), normalize(rows))
