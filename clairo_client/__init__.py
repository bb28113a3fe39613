"""A Python client of the service, sync and async: `pip install clairo[client]`.

>>> from clairo_client import CLAIRO, ProblemError
>>> with CLAIRO("http://127.0.0.1:8000") as shop:  # doctest: +SKIP
...     shop.recommend(["mug-12", "mug-7"], limit=5).items[0].item_id
"""

from clairo_client.calls import FeedbackEvent, HistoryEntry, NewItem, RecommendRequest
from clairo_client.clients import CLAIRO, AsyncCLAIRO
from clairo_client.problems import (
    ConflictError,
    NotFoundError,
    OverloadedError,
    ProblemError,
    RefusedError,
    UnavailableError,
)

__all__ = [
    "CLAIRO",
    "AsyncCLAIRO",
    "ConflictError",
    "FeedbackEvent",
    "HistoryEntry",
    "NewItem",
    "NotFoundError",
    "OverloadedError",
    "ProblemError",
    "RecommendRequest",
    "RefusedError",
    "UnavailableError",
]
