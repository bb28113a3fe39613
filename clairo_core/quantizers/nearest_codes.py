"""Every semantic id of one item, nearest first: best-first search over prefixes. Start at `nearest_codes`."""

import heapq
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from clairo_core.quantizers.quantizer import CodeDistances, Quantizer


def nearest_codes(quantizer: Quantizer, item_embedding: Float[np.ndarray, "dim"]) -> Iterator[tuple[int, ...]]:
    """Yield every semantic id of one item, nearest first; the first is what `encode` gives.

    Raises:
        QuantizerError: the embedding has another length.
    """
    return codes_nearest_first(quantizer.num_codebooks, quantizer.code_distances(item_embedding))


def codes_nearest_first(num_codebooks: int, code_distances: CodeDistances) -> Iterator[tuple[int, ...]]:
    """Yield every combination of codes, lowest sum of regrets first; ties go to the lower code that differs first.

    A code's regret is how much farther it is than the nearest code of its codebook after the same prefix. The first
    combination takes the nearest code of every codebook in turn.

    >>> rows = np.array([[3.0, 1.0], [0.5, 2.0]], np.float32)
    >>> list(codes_nearest_first(2, lambda prefix: rows[len(prefix)]))
    [(1, 0), (1, 1), (0, 0), (0, 1)]
    """

    def entry(prefix: tuple[int, ...], so_far: float, codes: list[int], regrets: list[float], rank: int) -> _Entry:
        return so_far + regrets[rank], (*prefix, codes[rank]), prefix, so_far, codes, regrets, rank

    def first_of(prefix: tuple[int, ...], so_far: float) -> _Entry:
        distances = code_distances(prefix)
        order = np.argsort(distances, kind="stable")
        regrets = distances[order].astype(np.float64)
        return entry(prefix, so_far, order.tolist(), (regrets - regrets[0]).tolist(), 0)

    heap = [first_of((), 0.0)]
    while heap:
        total, codes, prefix, so_far, siblings, regrets, rank = heapq.heappop(heap)
        if rank + 1 < len(siblings):
            heapq.heappush(heap, entry(prefix, so_far, siblings, regrets, rank + 1))
        if len(codes) == num_codebooks:
            yield codes
        else:
            heapq.heappush(heap, first_of(codes, total))


_Entry = tuple[float, tuple[int, ...], tuple[int, ...], float, list[int], list[float], int]
"""Total and codes, which order the heap; the prefix and its total; its next codes by regret, the regrets, the rank."""
