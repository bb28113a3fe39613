"""Pair evidence: the strongest single links, against a slow twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from clairo_core.ranking.history_links import history_links
from clairo_core.ranking.pair_evidence import TOGETHER, names_of, pair_evidence

NUM_ITEMS = 12
ROWS = st.integers(0, NUM_ITEMS + 2)
"""The last ones were posted after training."""


def matrix(seed: int) -> sparse.csr_matrix:
    return sparse.random(NUM_ITEMS, NUM_ITEMS, density=0.4, random_state=seed, dtype=np.float32, format="csr")


MATRICES = {"followers": matrix(0), "ease": matrix(1), TOGETHER: (8 * matrix(2)).ceil().tocsr()}
COUNTS = np.arange(NUM_ITEMS)
CONTENT = np.random.default_rng(0).normal(size=(NUM_ITEMS, 3)).astype(np.float32)


def slowly(history: list[int], item: int) -> list[float]:
    def link(name: str, one: int) -> float:
        return float(MATRICES[name][one, item]) if max(one, item) < NUM_ITEMS else 0.0

    def cosine(one: int) -> float:
        return link(TOGETHER, one) / np.sqrt((COUNTS[one] + 1) * (COUNTS[item] + 1)) if item < NUM_ITEMS else 0.0

    known = [one for one in history if one < NUM_ITEMS]
    if not known:
        return [0.0] * len(names_of(tuple(MATRICES), has_content=True))
    values = []
    for name in ("followers", "ease"):
        values += [max(link(name, one) for one in known), link(name, known[-1])]
    values += [np.log1p(max(link(TOGETHER, one) for one in known)), np.log1p(link(TOGETHER, known[-1]))]
    supporters = sum(link(TOGETHER, one) > 0 for one in known)
    values += [max(map(cosine, known)), cosine(known[-1]), supporters, supporters / len(known)]
    alike = [float(CONTENT[one] @ CONTENT[item]) if item < NUM_ITEMS else 0.0 for one in known]
    return [*values, max(alike), alike[-1]]


def evidence(
    matrices: dict[str, sparse.csr_matrix], content: np.ndarray | None, history: list[int], item_rows: np.ndarray
) -> np.ndarray:
    known = np.array([row for row in history if row < NUM_ITEMS], dtype=np.int64)
    links = {name: history_links(of_name, known).among(item_rows) for name, of_name in matrices.items()}
    return pair_evidence(links, content, COUNTS, known, item_rows)


@given(st.lists(ROWS, min_size=1, max_size=6), st.sets(ROWS, min_size=1))
def test_every_feature_equals_its_definition(history: list[int], items: set[int]) -> None:
    item_rows = np.array(sorted(items), dtype=np.int64)
    found = evidence(MATRICES, CONTENT, history, item_rows)
    for item, of_item in zip(item_rows.tolist(), found, strict=True):
        assert of_item == pytest.approx(slowly(history, item), rel=1e-4, abs=1e-6)


def test_without_pair_counts_only_weights_are_evidence() -> None:
    assert names_of(("ease",)) == ("ease strongest", "ease last")
    found = evidence({"ease": MATRICES["ease"]}, None, [3], np.array([1, 4]))
    assert found.shape == (2, 2)
