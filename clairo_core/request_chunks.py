"""Split a batch of requests into chunks that are answered together: the same search, similar lengths."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int64

from clairo_core.recommendation import RecommendationRequest
from clairo_core.serving_points import ServingPoint

Answer = TypeVar("Answer")

REQUESTS_AT_ONCE_ON_GPU = 64
"""Bounds the memory of a batch."""
_REQUESTS_AT_ONCE_ON_CPU = 16
"""Fits the cache: with 64 at once, throughput falls by a fifth at 100,000 items."""


def answers_by_chunk(
    requests: Sequence[RecommendationRequest],
    histories: Sequence[Int64[np.ndarray, "position"]],
    points: Sequence[ServingPoint],
    device: torch.device,
    answer: Callable[
        [list[RecommendationRequest], list[Int64[np.ndarray, "position"]], ServingPoint], Sequence[Answer]
    ],
    *,
    otherwise: Answer,
) -> list[Answer]:
    """Call `answer` on each chunk, and return its answers in the order of the requests.

    Args:
        requests: in any order.
        histories: rows of each request's known items.
        points: each request's search.
        device: where the generator runs; bounds the size of a chunk.
        answer: takes the requests and histories of one chunk, and their search.
        otherwise: the answer to requests without a history or with a limit of 0, which are in no chunk.
    """
    answers = [otherwise] * len(requests)
    for places, point in _chunks(requests, histories, points, device):
        chunk = answer([requests[place] for place in places], [histories[place] for place in places], point)
        for place, found in zip(places, chunk, strict=True):
            answers[place] = found
    return answers


def _chunks(
    requests: Sequence[RecommendationRequest],
    histories: Sequence[Int64[np.ndarray, "position"]],
    points: Sequence[ServingPoint],
    device: torch.device,
) -> Iterator[tuple[list[int], ServingPoint]]:
    """Yield the places of each chunk's requests, shortest history first to pad little, and their search."""
    at_once = _REQUESTS_AT_ONCE_ON_CPU if device.type == "cpu" else REQUESTS_AT_ONCE_ON_GPU
    places_of_point: dict[ServingPoint, list[int]] = {}
    for place, (request, history, point) in enumerate(zip(requests, histories, points, strict=True)):
        if len(history) and request.limit > 0:
            # An answer must not depend on the rest of the batch: each request is searched as it needs.
            places_of_point.setdefault(point, []).append(place)
    for point, places in places_of_point.items():
        places.sort(key=lambda place: len(histories[place]))
        for start in range(0, len(places), at_once):
            yield places[start : start + at_once], point
