"""Feedback in a list, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    type: str
    recommendation_id: str | None
    value: float | None = None


@dataclass(frozen=True)
class Kept:
    sequence: int
    event: Event


class FakeFeedback:
    """A `FeedbackLog` in a list."""

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self._num_removed = 0

    def add(self, event_type: str, recommendation_id: str | None, value: float | None = None) -> None:
        self.kept.append(Kept(len(self.kept) + 1, Event(event_type, recommendation_id, value)))

    def remove(self, event_type: str) -> None:
        """Remove the events of a type."""
        self.kept = [kept for kept in self.kept if kept.event.type != event_type]
        self._num_removed += 1

    async def num_removed(self) -> int:
        return self._num_removed

    async def events_after(self, sequence: int, limit: int) -> Sequence[Kept]:
        return [kept for kept in self.kept if kept.sequence > sequence][:limit]
