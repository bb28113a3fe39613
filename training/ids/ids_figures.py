"""The figures that describe ids without training on them. Start at `figures_of`.

Nothing here reads files: codes, content embeddings and histories come in as arrays.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import sparse

from clairo_core.sequences import ItemSequences
from training.comparison.run_details import perplexity
from training.ids.item_ids import ItemIds, groups_of
from training.ids.item_pairs import num_pairs, pairs_within
from training.items.behaviour import behaviour_vectors, neighbour_counts

WINDOW = 3
"""Items at most this many places apart in a history count as neighbours, as `align.window` has it."""
BEHAVIOUR_DIM = 64
FEWEST_PAIRS = 30
"""A mean over fewer has no interval."""
_INTERVAL = 1.96


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over pairs of items."""

    value: float
    half_interval: float | None
    """Half of its 95% interval, as if pairs were independent; None below `FEWEST_PAIRS`."""
    num_pairs: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike the items of pairs are; None where no pair can be compared."""

    content: Mean | None
    """Cosine of the items' content embeddings."""
    behaviour: Mean | None
    """Cosine of vectors from the items' neighbours in histories."""
    together: Mean | None
    """Share of pairs that were neighbours in a history."""


@dataclass(frozen=True, slots=True)
class Level:
    """Use of one codebook."""

    name: str
    size: int
    num_used: int
    perplexity: float
    """Effective number of codes: e to the entropy of code use."""
    same_code: Likeness
    """Pairs with the same code here, whatever the other codes."""

    @property
    def num_dead(self) -> int:
        """Codes that no item has."""
        return self.size - self.num_used


@dataclass(frozen=True, slots=True)
class Depth:
    """Pairs whose first `num_shared` codes agree, and the next one does not."""

    num_shared: int
    num_pairs: int
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class IdsFigures:
    """What can be known of ids without training."""

    num_items: int
    num_without_ids: int
    """Items of the dataset that the file of ids lacks."""
    num_distinct: int
    """Different semantic ids."""
    num_sharing: int
    """Items that share theirs."""
    largest_group: int
    """Most items with one semantic id."""
    reconstruction_error: float | None
    levels: tuple[Level, ...]
    any_pair: Likeness
    depths: tuple[Depth, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        levels = [asdict(level) | {"num_dead": level.num_dead} for level in self.levels]
        return asdict(self) | {"levels": levels}


@dataclass(frozen=True, slots=True, eq=False)
class PairJudge:
    """Compares pairs of items by content and by histories."""

    content: Float[np.ndarray, "item dim"] | None
    """Rows of length 1, or of zeros for items without content."""
    behaviour: Float[np.ndarray, "item dim"]
    """Rows of length 1, or of zeros for items without neighbours."""
    neighbours: sparse.csr_matrix
    """Item by item: above 0 for items that were neighbours in a history."""

    def likeness(self, first: Int[np.ndarray, "pair"], second: Int[np.ndarray, "pair"]) -> Likeness:
        """Compare pairs. A pair counts where both items have content, or neighbours."""
        has_any = np.diff(self.neighbours.indptr) > 0
        both = has_any[first] & has_any[second]
        weights = self.neighbours[first[both], second[both]] if both.any() else np.zeros(0)
        return Likeness(
            None if self.content is None else _cosine(self.content, first, second),
            _cosine(self.behaviour, first, second),
            mean_of(np.asarray(weights).ravel() > 0),
        )


def figures_of(
    ids: ItemIds,
    content: Float32[np.ndarray, "item dim"] | None,
    histories: ItemSequences,
    *,
    num_without_ids: int = 0,
    seed: int = 0,
) -> IdsFigures:
    """Judge ids by their use, and by how alike items are whose codes agree.

    Args:
        ids: of the items.
        content: embeddings of the items by content alone; None without content.
        histories: rows of the items, one sequence per user.
        num_without_ids: to be shown.
        seed: of sampled pairs and of the vectors from histories.
    """
    num_items, random = len(ids.item_ids), np.random.default_rng(seed)
    codes = ids.semantic_ids
    judge = PairJudge(
        None if content is None else of_length_one(content),
        of_length_one(behaviour_vectors(histories, num_items, dim=BEHAVIOUR_DIM, window=WINDOW, seed=seed)),
        neighbour_counts(histories, num_items, WINDOW),
    )
    group_sizes = np.bincount(groups_of(codes))
    return IdsFigures(
        num_items=num_items,
        num_without_ids=num_without_ids,
        num_distinct=len(group_sizes),
        num_sharing=len(ids.sharing),
        largest_group=int(group_sizes.max()),
        reconstruction_error=ids.origin.reconstruction_error,
        levels=tuple(
            _level(name, size, codes[:, place], judge, random)
            for place, (name, size) in enumerate(zip(ids.codebook_names, ids.codebook_sizes, strict=True))
        ),
        any_pair=judge.likeness(*pairs_within(np.zeros(num_items, np.int64), random)),
        depths=_depths(codes, judge, random),
    )


def mean_of(values: np.ndarray) -> Mean | None:
    """The mean and its interval, if there are values.

    >>> mean_of(np.array([True, False, False, False])).value
    0.25
    """
    if not len(values):
        return None
    numbers, half = values.astype(np.float64), None
    if len(numbers) >= FEWEST_PAIRS:
        half = float(_INTERVAL * numbers.std() / np.sqrt(len(numbers)))
    return Mean(float(numbers.mean()), half, len(numbers))


def of_length_one(vectors: Float[np.ndarray, "item dim"]) -> Float[np.ndarray, "item dim"]:
    """Scale rows to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: np.ndarray = vectors / np.where(lengths > 0, lengths, 1.0)
    return scaled


def _level(
    name: str, size: int, codes: Int[np.ndarray, "item"], judge: PairJudge, random: np.random.Generator
) -> Level:
    counts = np.bincount(codes, minlength=size)
    same = judge.likeness(*pairs_within(codes, random))
    return Level(name, size, int(np.count_nonzero(counts)), perplexity(counts), same)


def _depths(
    codes: Int[np.ndarray, "item codebook"], judge: PairJudge, random: np.random.Generator
) -> tuple[Depth, ...]:
    """From no common code to all; depths without pairs are left out."""
    num_codebooks = codes.shape[1]
    groups = [groups_of(codes[:, :depth]) for depth in range(num_codebooks + 1)]
    # Of pairs that share at least so many, those that share more belong to a later depth.
    at_least = [*(num_pairs(of_depth) for of_depth in groups), 0]
    depths = []
    for depth, of_depth in enumerate(groups):
        exactly = at_least[depth] - at_least[depth + 1]
        if not exactly:
            continue
        first, second = pairs_within(of_depth, random)
        if depth < num_codebooks:
            differs = codes[first, depth] != codes[second, depth]
            first, second = first[differs], second[differs]
        depths.append(Depth(depth, exactly, judge.likeness(first, second)))
    return tuple(depths)


def _cosine(
    vectors: Float[np.ndarray, "item dim"], first: Int[np.ndarray, "pair"], second: Int[np.ndarray, "pair"]
) -> Mean | None:
    has_any = np.abs(vectors).sum(axis=1) > 0
    both = has_any[first] & has_any[second]
    return mean_of(np.einsum("pd,pd->p", vectors[first[both]], vectors[second[both]]))
