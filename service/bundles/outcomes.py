"""Count the outcome of each arm of an experiment from feedback. Start at `Outcomes.catch_up`.

Both arms are counted by the rules of one bundle, the served one: otherwise a bundle could win by its rules.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from clairo_core.events import InteractionRules
from service.bundles.experiment import Arm, Experiment
from service.store.feedback import KeptEvent
from service.store.feedback_event import FeedbackEvent

MAX_TRACKED = 200_000
"""Recommendations remembered, so that two events of one count once; the one whose last event is oldest goes first."""
EVENTS_AT_ONCE = 5000
_CONFIDENCE = 1.96


class FeedbackLog(Protocol):
    """Feedback of all users. Events are appended, and a few removed."""

    async def num_removed(self) -> int:
        """Number of events removed so far.

        Raises:
            StoreError: it cannot be read now.
        """

    async def events_after(self, sequence: int, limit: int) -> Sequence[KeptEvent]:
        """Events after `sequence`, in order of arrival.

        Raises:
            StoreError: they cannot be read now.
        """


@dataclass(slots=True)
class ArmCounts:
    """Outcome of one arm's recommendations."""

    num_served: int = 0
    """Recommendations given by this process since it started."""
    num_shown: int = 0
    """Recommendations with an impression."""
    num_hit: int = 0
    """Shown recommendations with a positive event."""

    @property
    def hit_rate(self) -> float | None:
        """Share of shown recommendations that were followed; None if none was shown."""
        return self.num_hit / self.num_shown if self.num_shown else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% confidence interval of the hit rate (Wilson's score interval)."""
        if self.hit_rate is None:
            return None
        count, rate, squared = self.num_shown, self.hit_rate, _CONFIDENCE**2
        middle = (rate + squared / (2 * count)) / (1 + squared / count)
        half = _CONFIDENCE * math.sqrt(rate * (1 - rate) / count + squared / (4 * count**2)) / (1 + squared / count)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(slots=True)
class _Tracked:
    arm: Arm
    is_shown: bool = False
    is_followed: bool = False


class Outcomes:
    """Counts by arm, from feedback so far, in bounded memory.

    Args:
        experiment: names the arms.
        feedback: to count.
        rules: returns those of the served bundle. Another bundle's hold for the events that arrive after a swap.
    """

    def __init__(self, experiment: Experiment, feedback: FeedbackLog, rules: Callable[[], InteractionRules]) -> None:
        self.counts = {arm: ArmCounts() for arm in Arm}
        self._experiment = experiment
        self._feedback = feedback
        self._rules = rules
        self._read_up_to = self._num_removed = 0
        self._tracked: OrderedDict[str, _Tracked] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def catch_up(self) -> None:
        """Count the events since the last call, or all again if any was removed meanwhile.

        Raises:
            StoreError: they cannot be read now; earlier counts stay.
        """
        async with self._one_at_a_time:
            num_removed = await self._feedback.num_removed()
            if num_removed != self._num_removed:
                for counts in self.counts.values():
                    counts.num_shown = counts.num_hit = 0
                self._tracked.clear()
                self._read_up_to, self._num_removed = 0, num_removed
            while kept := await self._feedback.events_after(self._read_up_to, EVENTS_AT_ONCE):
                rules = self._rules()
                for event in kept:
                    self._count(event.event, rules)
                self._read_up_to = kept[-1].sequence

    def _count(self, event: FeedbackEvent, rules: InteractionRules) -> None:
        recommendation_id = event.recommendation_id
        if recommendation_id is None:
            return
        arm = self._experiment.arm_of_recommendation(recommendation_id)
        if arm is None:
            return
        name = rules.type_of(event.type, event.value)
        meaning = "ignored" if name is None else rules.of(name).meaning
        tracked = self._tracked.setdefault(recommendation_id, _Tracked(arm))
        self._tracked.move_to_end(recommendation_id)
        was_hit = tracked.is_shown and tracked.is_followed
        if meaning == "impression" and not tracked.is_shown:
            tracked.is_shown = True
            self.counts[arm].num_shown += 1
        tracked.is_followed |= meaning == "positive"
        # Events may come in any order: a hit counts once both the impression and the click are known.
        self.counts[arm].num_hit += (tracked.is_shown and tracked.is_followed) - was_hit
        while len(self._tracked) > MAX_TRACKED:
            self._tracked.popitem(last=False)
