"""Keep answers of POST /recommend as JSON, by the body that asked for them. Each time, one gets a new id.

A body without a user, a session or chance gets the same items until this process's state changes: `version_of` counts
the changes of catalogue, counts, bundle, placements and declared types. Start at `RepeatedAnswers.find`.
"""

import time
import uuid
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from service.recommend.cache import InProcessCache
from service.telemetry.metrics import Metrics

MAX_BODY_BYTES = 16 * 1024
"""Longer bodies are not kept."""
_ENTRY_BYTES = 1000
"""About what an entry takes beside its JSON and its sources."""

Version = Hashable


@dataclass(frozen=True, slots=True)
class _KeptAnswer:
    version: Version
    before_id: bytes
    after_id: bytes
    sources: tuple[str, ...]
    num_new: int
    fallback_reason: str | None
    placement: str | None


class RepeatedAnswers:
    """Answers by body, bounded like `InProcessCache`. Belongs to one event loop."""

    def __init__(
        self,
        version_of: Callable[[], Version],
        *,
        max_entries: int,
        max_bytes: int,
        ttl_seconds: float,
        metrics: Metrics | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`version_of` never returns an earlier version again."""
        self.version_of = version_of
        self._metrics = metrics or Metrics()
        self._kept: InProcessCache[_KeptAnswer] = InProcessCache(
            max_entries, size_of=_size_of, max_bytes=max_bytes, ttl_seconds=ttl_seconds, now=now
        )

    async def find(self, body: bytes) -> bytes | None:
        """The answer to this body, with a new recommendation id, counted in the metrics.

        None if it must be computed.
        """
        started_at = time.perf_counter()
        kept = await self._kept.get(body)
        if kept is None or kept.version != self.version_of():
            return None
        self._metrics.count_cache_request(is_hit=True)
        self._metrics.count_recommended(kept.sources, kept.num_new, kept.fallback_reason)
        if kept.placement is not None:
            self._metrics.count_placement(kept.placement, kept.fallback_reason, time.perf_counter() - started_at)
        return kept.before_id + uuid.uuid4().hex.encode() + kept.after_id

    async def keep(
        self,
        body: bytes,
        answer: bytes,
        recommendation_id: str,
        since: Version,
        *,
        sources: tuple[str, ...],
        num_new: int,
        fallback_reason: str | None,
        placement: str | None,
    ) -> None:
        """Keep an answer, unless the state has changed while it was computed.

        Args:
            body: the request's.
            answer: as JSON; its first text equal to `recommendation_id` is the id.
            recommendation_id: in `answer`.
            since: the version before the computation began.
            sources: of the items, for the metrics.
            num_new: of them, items posted after training, for the metrics.
            fallback_reason: for the metrics.
            placement: for the metrics.
        """
        if len(body) > MAX_BODY_BYTES or since != self.version_of():
            return
        before_id, _, after_id = answer.partition(recommendation_id.encode())
        await self._kept.put(
            body, _KeptAnswer(since, before_id, after_id, sources, num_new, fallback_reason, placement)
        )


def _size_of(kept: _KeptAnswer) -> int:
    return len(kept.before_id) + len(kept.after_id) + 8 * len(kept.sources) + _ENTRY_BYTES
