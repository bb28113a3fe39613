"""Let so many calls through a minute, and say when the next one may come."""

from collections.abc import Callable


class TokenBucket:
    """Holds as many calls as a minute allows, and fills up evenly; `clock` counts seconds and never goes back."""

    def __init__(self, calls_per_minute: int, clock: Callable[[], float]) -> None:
        self.calls_per_minute = calls_per_minute
        self._clock = clock
        self._calls = float(calls_per_minute)
        self._filled_at = clock()

    def take(self) -> float:
        """Take one call out: 0.0, or how many seconds to wait for one if there is none."""
        now = self._clock()
        per_second = self.calls_per_minute / 60
        self._calls = min(float(self.calls_per_minute), self._calls + (now - self._filled_at) * per_second)
        self._filled_at = now
        if self._calls >= 1:
            self._calls -= 1
            return 0.0
        return (1 - self._calls) / per_second
