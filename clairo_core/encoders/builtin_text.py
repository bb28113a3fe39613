"""Encode an item's words without pretrained weights: weighted terms, then latent semantics.

Terms are hashed words and character n-grams, so any language and any misspelling has some. Their weights (tf-idf) and
the latent dimensions (truncated SVD) are learned from the training items' texts. Start at `BuiltinTextEncoder.encode`.

Source: Deerwester et al. 1990, "Indexing by latent semantic analysis". We differ: terms are hashed, character n-grams
complement words, and the first text field (the title) is weighted against all others together.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Float64, Int32
from scipy import sparse

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.encoders.hashed_terms import HASHES_OF, count_hashes, of_unit_length
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.storage.array_folder import load_array_folder, save_array_folder
from clairo_core.values.markup import words_of

MAX_FIELD_CHARACTERS = 8_000
"""Read from the first text field, and again from all others together; the rest is ignored."""

# The first field has a third of an item's energy, however long the others are. On MovieLens' films, neighbours share
# more viewers than with all fields in one; a larger weight costs common genres.
_FIRST_FIELD_WEIGHT = 0.7
_MAX_FIT_ITEMS = 20_000
_MAX_COLUMNS = 16_384  # words, and as many n-grams: a 128-dimensional encoder has 8 MB
_ITEMS_AT_ONCE = 500
# Texts of films and of the demo shop, half of them unseen, have at least .81 known terms; those in another alphabet at
# most .26, numbers and punctuation, whose embedding would be wrong rather than vague.
_LEAST_KNOWN = 0.25


_SORTS = tuple(HASHES_OF)


@dataclass(frozen=True)
class TermWeights:
    """The known terms of one sort, by hash, and their weights."""

    hashes: Int32[np.ndarray, "term"]
    """Ascending."""
    inverse_document_frequencies: Float32[np.ndarray, "term"]


@dataclass(frozen=True)
class BuiltinTextEncoder:
    """Words -> text embedding of unit length. Make one with `fit`."""

    term_weights: dict[str, TermWeights]
    """Sort of term ("word", "ngram") -> weights."""
    components: Float32[np.ndarray, "term dim"]
    """Latent dimensions over the terms of all sorts, concatenated; exact in float16."""

    name: ClassVar[str] = "builtin-text"
    modality: ClassVar[str] = "text"

    @property
    def dim(self) -> int:
        """Length of a text embedding."""
        return int(self.components.shape[1])

    @classmethod
    def fit(
        cls, items: Sequence[Item], dim: int = 128, seed: int = 0, progress: Progress = silent
    ) -> "BuiltinTextEncoder":
        """Learn term weights and latent dimensions from the items' texts (of at most 20,000 items, drawn by seed).

        The 16,384 most frequent terms of each sort are kept. With fewer texts or terms than `dim`, the encoder has as
        many dimensions as there are texts or terms.

        Raises:
            EncoderError: `dim` is below 1, or no item has any words.
        """
        from sklearn.utils.extmath import randomized_svd  # noqa: PLC0415 - slow to import

        if dim < 1:
            raise EncoderError(f"the text encoder has {dim} dimensions, expected at least 1; raise dim")
        with_words = [item for item in items if any(_fields(item))]
        if not with_words:
            raise EncoderError(f"none of the {len(items)} training items has any words; leave the text modality out")
        if len(with_words) > _MAX_FIT_ITEMS:
            drawn = np.random.default_rng(seed).choice(len(with_words), _MAX_FIT_ITEMS, replace=False)
            with_words = [with_words[row] for row in np.sort(drawn)]
        counts = [_count_terms(batch) for batch in _batches(with_words, "counting terms", progress)]
        term_weights = {
            sort: _weigh_terms(sparse.vstack([sum(batch[sort]) for batch in counts], format="csr")) for sort in _SORTS
        }
        weighted = sparse.vstack([_weighted_terms(batch, term_weights) for batch in counts], format="csr")
        _, _, components = randomized_svd(
            weighted, min(dim, *weighted.shape), n_iter=4, random_state=seed, flip_sign=True
        )
        # Rounded as stored: a loaded encoder returns the same numbers as the fitted one.
        return cls(term_weights, components.T.astype(np.float16).astype(np.float32))

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Embed each item's text fields; missing if empty, or if hardly any term is known."""
        vectors = np.zeros((len(items), self.dim), np.float32)
        for row, batch in enumerate(_batches(items, "encoding texts", progress)):
            counts = _count_terms(batch)
            is_readable = _known_share(counts, self.term_weights) >= _LEAST_KNOWN
            weighted = _weighted_terms(counts, self.term_weights)
            vectors[row * _ITEMS_AT_ONCE :][: len(batch)] = is_readable[:, None] * (weighted @ self.components)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        is_present = lengths[:, 0] > 0
        return ModalityEmbeddings(np.divide(vectors, lengths, out=vectors, where=lengths > 0), is_present)

    def save(self, folder: Path) -> None:
        """Write encoder.json and the arrays into `folder`."""
        arrays = {"components": self.components.astype(np.float16)}
        for sort, weights in self.term_weights.items():
            arrays[f"{sort}_hashes"] = weights.hashes
            arrays[f"{sort}_inverse_document_frequencies"] = weights.inverse_document_frequencies
        save_array_folder(folder, "encoder", self.name, arrays, {"modality": self.modality, "dim": self.dim})

    @classmethod
    def load(cls, folder: Path) -> "BuiltinTextEncoder":
        """Load a saved encoder.

        Raises:
            EncoderError: the folder is damaged or holds something else.
        """
        saved = load_array_folder(folder, "encoder", cls.name, EncoderError)
        term_weights = {}
        for sort in _SORTS:
            hashes = saved.array(f"{sort}_hashes", np.int32, (None,))
            frequencies = saved.array(f"{sort}_inverse_document_frequencies", np.float32, (len(hashes),))
            term_weights[sort] = TermWeights(hashes, frequencies)
        num_terms = sum(len(weights.hashes) for weights in term_weights.values())
        components = saved.array("components", np.float16, (num_terms, None))
        return cls(term_weights, components.astype(np.float32))


def _batches(items: Sequence[Item], label: str, progress: Progress) -> Iterable[Sequence[Item]]:
    starts = range(0, len(items), _ITEMS_AT_ONCE)
    return progress((items[start : start + _ITEMS_AT_ONCE] for start in starts), label, len(starts))


def _fields(item: Item) -> tuple[str, str]:
    """The first non-empty text field, and the others joined; without mark-up, normalized, casefolded and truncated."""
    texts = [text for text in map(words_of, item.texts.values()) if text and not text.isspace()]
    return _normalized(texts[0] if texts else ""), _normalized("\n".join(texts[1:]))


def _normalized(text: str) -> str:
    # Half a surrogate pair is a legal JSON string, but cannot be hashed.
    readable = text[:MAX_FIELD_CHARACTERS].encode("utf-8", "ignore").decode("utf-8")
    return unicodedata.normalize("NFKC", readable).casefold()[:MAX_FIELD_CHARACTERS]


def _count_terms(items: Sequence[Item]) -> dict[str, tuple[sparse.csr_matrix, sparse.csr_matrix]]:
    """Sort of term -> counts of each hash in the first field, and in the others."""
    each = [*zip(*(_fields(item) for item in items), strict=True)]
    return {sort: (count_hashes(each[0], sort), count_hashes(each[1], sort)) for sort in _SORTS}


def _weigh_terms(counts: sparse.csr_matrix) -> TermWeights:
    """Keep the terms in most documents; ties go to the lower hash."""
    frequencies = np.bincount(counts.indices, minlength=counts.shape[1])
    most_frequent = np.argsort(-frequencies, kind="stable")[:_MAX_COLUMNS]
    hashes = np.sort(most_frequent[frequencies[most_frequent] > 0])
    inverse = 1 + np.log((1 + counts.shape[0]) / (1 + frequencies[hashes]))
    return TermWeights(hashes.astype(np.int32), inverse.astype(np.float32))


def _known_share(
    counts: dict[str, tuple[sparse.csr_matrix, sparse.csr_matrix]], term_weights: dict[str, TermWeights]
) -> Float64[np.ndarray, "item"]:
    """Share of an item's distinct terms that is known, for the sort with the larger share."""
    shares = []
    for sort, weights in term_weights.items():
        terms = sum(counts[sort])
        of_item = np.repeat(np.arange(terms.shape[0]), np.diff(terms.indptr))
        is_known = np.isin(terms.indices, weights.hashes)
        num_known = np.bincount(of_item, is_known, minlength=terms.shape[0])
        shares.append(num_known / np.maximum(np.diff(terms.indptr), 1))
    return np.asarray(np.max(shares, axis=0))


def _weighted_terms(
    counts: dict[str, tuple[sparse.csr_matrix, sparse.csr_matrix]], term_weights: dict[str, TermWeights]
) -> sparse.csr_matrix:
    """Items by known terms of all sorts; each sort has equal energy in an item, each item is of unit length."""
    by_sort = []
    for sort, weights in term_weights.items():
        first, others = (of_unit_length(_tf_idf(field, weights)) for field in counts[sort])
        by_sort.append(of_unit_length(_FIRST_FIELD_WEIGHT * first + others))
    return of_unit_length(sparse.hstack(by_sort, format="csr"))


def _tf_idf(counts: sparse.csr_matrix, weights: TermWeights) -> sparse.csr_matrix:
    """Known terms only, as (1 + log of the count) x inverse document frequency."""
    terms = np.searchsorted(weights.hashes, counts.indices)
    terms[terms == len(weights.hashes)] = 0
    is_known = weights.hashes[terms] == counts.indices
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))[is_known]
    terms = terms[is_known]
    values = (1 + np.log(counts.data[is_known])) * weights.inverse_document_frequencies[terms]
    return sparse.csr_matrix((values, (rows, terms)), shape=(counts.shape[0], len(weights.hashes)))
