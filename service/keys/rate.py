"""Limit calls per minute with a token bucket."""

from collections.abc import Callable


class TokenBucket:
    """Holds a minute's worth of calls and refills evenly. `clock` counts seconds and is monotonic."""

    def __init__(self, calls_per_minute: int, clock: Callable[[], float]) -> None:
        self.calls_per_minute = calls_per_minute
        self._clock = clock
        self._calls = float(calls_per_minute)
        self._filled_at = clock()

    def take(self) -> float:
        """Take one call: 0.0, or the seconds until the next is available."""
        now = self._clock()
        per_second = self.calls_per_minute / 60
        self._calls = min(float(self.calls_per_minute), self._calls + (now - self._filled_at) * per_second)
        self._filled_at = now
        if self._calls >= 1:
            self._calls -= 1
            return 0.0
        return (1 - self._calls) / per_second
