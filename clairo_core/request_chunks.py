"""Split a batch of requests into chunks that are generated together: equally many beams, similar lengths."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int64

from clairo_core.recommendation import RecommendationRequest

Answer = TypeVar("Answer")

MAX_BEAMS = 1000
"""A longer list is filled up with popular items."""
REQUESTS_AT_ONCE_ON_GPU = 64
"""Bounds the memory of a batch."""
_REQUESTS_AT_ONCE_ON_CPU = 4
"""Fits the cache: with 16 at once, throughput falls by a quarter, with 32 by nearly half."""


def answers_by_chunk(
    requests: Sequence[RecommendationRequest],
    histories: Sequence[Int64[np.ndarray, "position"]],
    num_beams: int,
    device: torch.device,
    answer: Callable[[list[RecommendationRequest], list[Int64[np.ndarray, "position"]], int], Sequence[Answer]],
    *,
    otherwise: Answer,
) -> list[Answer]:
    """Call `answer` on each chunk, and return its answers in the order of the requests.

    Args:
        requests: in any order.
        histories: rows of each request's known items.
        num_beams: per view; a request for more items widens its search.
        device: where the generator runs; bounds the size of a chunk.
        answer: takes the requests, histories and beams of one chunk.
        otherwise: the answer to requests without a history or with a limit of 0, which are in no chunk.
    """
    answers = [otherwise] * len(requests)
    for places, width in _chunks(requests, histories, num_beams, device):
        chunk = answer([requests[place] for place in places], [histories[place] for place in places], width)
        for place, found in zip(places, chunk, strict=True):
            answers[place] = found
    return answers


def _chunks(
    requests: Sequence[RecommendationRequest],
    histories: Sequence[Int64[np.ndarray, "position"]],
    num_beams: int,
    device: torch.device,
) -> Iterator[tuple[list[int], int]]:
    """Yield the places of each chunk's requests, shortest history first to pad little, and their number of beams."""
    at_once = _REQUESTS_AT_ONCE_ON_CPU if device.type == "cpu" else REQUESTS_AT_ONCE_ON_GPU
    places_of_width: dict[int, list[int]] = {}
    for place, (request, history) in enumerate(zip(requests, histories, strict=True)):
        if len(history) and request.limit > 0:
            # An answer must not depend on the rest of the batch: each request is searched as wide as it needs.
            width = min(max(num_beams, request.limit), MAX_BEAMS)
            places_of_width.setdefault(width, []).append(place)
    for width, places in places_of_width.items():
        places.sort(key=lambda place: len(histories[place]))
        for start in range(0, len(places), at_once):
            yield places[start : start + at_once], width
