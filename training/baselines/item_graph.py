"""Rank the items a hop or two from the last ones in the graph of what followed what, and items of like content.

Source: Han et al. 2026, "An Embarrassingly Simple Graph Heuristic" (arXiv 2605.07125), which takes items by hops and
ranks them by content. We differ: hops and content are added, with weights that validation chooses, so that a frequent
step counts more than a rare one. Content is words and codes. Start at `choose_item_graph`.
"""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import sparse

from clairo_core.encoders.item_content import normalized_text
from clairo_core.progress import Progress, silent
from clairo_core.ranking import RowScale
from clairo_core.sequences import ItemSequences
from training.counts.markov import TIE_BREAK, count_followers, popularity_shares
from training.counts.recent_items import weigh_history
from training.datasets.dataset import Dataset
from training.evaluation.choose_settings import Choice, best_on_validation
from training.evaluation.split import EvaluationSplit

_TERM = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class ItemGraphSettings:
    """Settings that validation chooses."""

    num_recent: int
    """Last items of a history that are looked at."""
    decay: float
    """An item weighs decay^age, age 0 for the last one."""
    backward: float
    """Weight of a step against its direction."""
    second_hop: float
    """Weight of items two hops away."""
    shrinkage: float
    """Added to an item's number of steps, which divides each of them: rare items cannot outvote well-known ones."""
    content: float
    """Weight of the content's cosine."""


GRID = tuple(
    ItemGraphSettings(num_recent, decay, backward, second_hop, shrinkage, content=0.05)
    for num_recent, decay in ((3, 0.6), (10, 0.8))
    for backward in (0.0, 0.5)
    for second_hop, shrinkage in ((0.3, 10.0), (0.3, 30.0), (1.0, 30.0))
)


@dataclass(frozen=True, slots=True, eq=False)
class ItemGraph:
    """A fitted graph scorer."""

    steps: sparse.csr_matrix
    """Share of each row's steps that lead to the column's item, shrunk."""
    tie_break: Float64[np.ndarray, "item"]
    terms: sparse.csr_matrix
    """Items by terms, see `content_terms`."""
    settings: ItemGraphSettings

    def scores(self, histories: ItemSequences) -> Float64[np.ndarray, "user item"]:
        """Hops from the last items, and cosines with them."""
        settings = self.settings
        recent = weigh_history(
            histories,
            self.steps.shape[0],
            lambda age: np.where(age < settings.num_recent, settings.decay ** age.astype(np.float64), 0.0),
        )
        hops = recent @ self.steps
        scores: Float64[np.ndarray, "user item"] = hops.toarray()
        if settings.second_hop:
            scores += settings.second_hop * (hops @ self.steps).toarray()
        if settings.content:
            # Dense by few users at a time: common words make the product of sparse ones dense anyway.
            scores += settings.content * (self.terms @ (recent @ self.terms).toarray().T).T
        scores += self.tie_break
        return scores


def fit_item_graph(training: ItemSequences, terms: sparse.csr_matrix, settings: ItemGraphSettings) -> ItemGraph:
    """Count steps in the training sequences; `terms` is of all items."""
    return _item_graph(training, count_followers(training, terms.shape[0]), terms, settings)


def choose_item_graph(
    dataset: Dataset,
    training: ItemSequences,
    validation: EvaluationSplit,
    progress: Progress = silent,
    grid: tuple[ItemGraphSettings, ...] = GRID,
) -> Choice[ItemGraphSettings]:
    """Choose the settings that rank validation users' next items best."""
    followers, terms = count_followers(training, len(dataset.items)), content_terms(dataset, training)
    candidates = ((settings, _item_graph(training, followers, terms, settings)) for settings in grid)
    return best_on_validation(candidates, len(grid), validation, "graph: settings", progress)


def content_terms(dataset: Dataset, training: ItemSequences) -> sparse.csr_matrix:
    """Items by words and codes (tf-idf), each row of length 1, zeros for an item without any.

    Term weights are of training items.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - slow to import

    texts = [normalized_text(item) for item in dataset.items]
    if dataset.semantic_ids is not None:
        for row, codes in enumerate(dataset.semantic_ids.tolist()):
            texts[row] += "".join(f" codebook{place}_{code}" for place, code in enumerate(codes))
    of_training = [texts[row] for row in np.unique(training.items)]
    if not any(_TERM.search(text) for text in of_training):
        return sparse.csr_matrix((len(texts), 1))
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=_TERM.pattern).fit(of_training)
    return vectorizer.transform(texts).tocsr()


def _item_graph(
    training: ItemSequences, followers: sparse.csr_matrix, terms: sparse.csr_matrix, settings: ItemGraphSettings
) -> ItemGraph:
    num_items = terms.shape[0]
    steps = followers + settings.backward * followers.T
    scale = RowScale(np.asarray(steps.sum(axis=1)).ravel(), settings.shrinkage, 1.0)
    return ItemGraph(
        (sparse.diags(1.0 / scale.divisors) @ steps).tocsr(),
        TIE_BREAK * popularity_shares(training, num_items),
        terms,
        settings,
    )
