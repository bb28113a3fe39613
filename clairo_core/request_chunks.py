"""Which requests of a batch are generated for together: as many as a device likes, of similar length.

Knows requests, lengths and devices; knows nothing of tokens or items.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Int64

from clairo_core.recommendation import RecommendationRequest

MAX_BEAMS = 1000
"""A longer list than this is filled up with popular items."""
REQUESTS_AT_ONCE_ON_GPU = 64
"""Bounds the memory of a batch."""
_REQUESTS_AT_ONCE_ON_CPU = 4
"""What fits its cache: of 16 at once, a quarter fewer are answered a second, of 32 nearly half."""


def chunks_of_similar_length(
    requests: Sequence[RecommendationRequest],
    histories: Sequence[Int64[np.ndarray, "position"]],
    num_beams: int,
    device: torch.device,
) -> Iterable[tuple[list[int], int]]:
    """Places of requests to generate for together, and how many beams they need; of similar length, to pad little.

    Requests without history, or for nothing, are in none.
    """
    at_once = _REQUESTS_AT_ONCE_ON_CPU if device.type == "cpu" else REQUESTS_AT_ONCE_ON_GPU
    places_of_width: dict[int, list[int]] = {}
    for place, (request, history) in enumerate(zip(requests, histories, strict=True)):
        if len(history) and request.limit > 0:
            # An answer must not depend on what else is in the batch: each is searched as wide as it needs.
            width = min(max(num_beams, request.limit), MAX_BEAMS)
            places_of_width.setdefault(width, []).append(place)
    for width, places in places_of_width.items():
        places.sort(key=lambda place: len(histories[place]))
        for start in range(0, len(places), at_once):
            yield places[start : start + at_once], width
