"""Split users between the bundle that is served and another, and count what came of it in each arm.

A user is in one arm for as long as the experiment has its name and share: a hash of both names decides, nothing is
kept. The recommendation id says the arm, in plain text, so feedback that carries one tells which arm it speaks for;
whoever may post feedback could make up such ids, as they could make up the feedback. Requests that name no user are
no part of the experiment: the served bundle answers them, and nobody counts them.

Knows users, arms and feedback; knows nothing of HTTP or bundles' contents. Start at `Split.recommendations_for`.
"""

import asyncio
import hashlib
import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from clairo_core.errors import SettingsError
from service.recommend.recommendations import Recommendations

IMPRESSION = "impression"
NO_HIT_TYPES = frozenset({IMPRESSION, "dislike"})
MAX_TRACKED = 200_000
"""Recommendations remembered at once, so that two events of one count once; those whose last event is oldest go."""
EVENTS_AT_ONCE = 5000
_EXPERIMENT = re.compile(r"(?P<name>[a-z0-9][a-z0-9_-]{0,40}):(?P<share>0|1|0?\.\d+|1\.0+):(?P<bundle_id>\S+)")
_CONFIDENCE = 1.96


class Arm(StrEnum):
    """Which bundle answers a user."""

    CONTROL = "control"
    """The bundle that is served to everybody else."""
    TREATMENT = "treatment"


@dataclass(frozen=True, slots=True)
class Experiment:
    """What the operator asked for."""

    name: str
    share: float
    """Of users in the treatment arm, from 0 to 1."""
    bundle_id: str
    """Of the treatment."""

    def arm_of(self, user_id: str) -> Arm:
        """The user's arm: the same in every process, and unlike that of another experiment."""
        digest = hashlib.sha256(f"{self.name}\0{user_id}".encode()).digest()
        return Arm.TREATMENT if int.from_bytes(digest[:8]) / 2**64 < self.share else Arm.CONTROL

    def mark(self, recommendation_id: str, arm: Arm) -> str:
        """The id of a recommendation given in this arm."""
        return f"{recommendation_id}.{self.name}.{arm}"

    def arm_of_recommendation(self, recommendation_id: str) -> Arm | None:
        """The inverse of `mark`; None for a recommendation that was no part of this experiment."""
        _, _, rest = recommendation_id.partition(".")
        name, _, arm = rest.rpartition(".")
        return Arm(arm) if name == self.name and arm in set(Arm) else None


def parsed_experiment(text: str) -> Experiment:
    """What `name:share:bundle_id` says.

    >>> parsed_experiment("bigger-vocabulary:0.1:shop-0123456789ab").share
    0.1

    Raises:
        SettingsError: it says something else.
    """
    found = _EXPERIMENT.fullmatch(text)
    if found is None:
        raise SettingsError(
            f"experiment {text!r}: expected name:share:bundle_id, the name in small letters, digits, - and _, the "
            "share of users between 0 and 1, such as new-bundle:0.1:shop-0123456789ab"
        )
    return Experiment(found["name"], float(found["share"]), found["bundle_id"])


class FeedbackEvent(Protocol):
    """What counting reads of an event."""

    @property
    def type(self) -> str:
        """`impression`, `dislike`, or what somebody did because they liked it."""

    @property
    def recommendation_id(self) -> str | None:
        """The recommendation that the event is about, if any."""


class KeptEvent(Protocol):
    """An event in the order in which events came."""

    @property
    def sequence(self) -> int:
        """Counts up."""

    @property
    def event(self) -> FeedbackEvent:
        """The event."""


class FeedbackEvents(Protocol):
    """Everybody's feedback, append only."""

    async def events_after(self, sequence: int, limit: int) -> Sequence[KeptEvent]:
        """Events in the order in which they came, those after `sequence`.

        Raises:
            StoreError: they cannot be read now.
        """


@dataclass(slots=True)
class ArmCounts:
    """What came of the recommendations of one arm."""

    num_served: int = 0
    """Given by this process since it started."""
    num_shown: int = 0
    """Recommendations that an impression was told of."""
    num_hit: int = 0
    """Of those shown, the ones that somebody followed."""

    @property
    def hit_rate(self) -> float | None:
        """Followed of shown; None where none was shown."""
        return self.num_hit / self.num_shown if self.num_shown else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the hit rate lies with 95% confidence (Wilson's score interval)."""
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
    """Counts by arm, read from feedback as far as it has come; memory stays bounded however long it runs."""

    def __init__(self, experiment: Experiment, feedback: FeedbackEvents) -> None:
        self.counts = {arm: ArmCounts() for arm in Arm}
        self._experiment = experiment
        self._feedback = feedback
        self._read_up_to = 0
        self._tracked: OrderedDict[str, _Tracked] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def catch_up(self) -> None:
        """Count the events that came since the last call.

        Raises:
            StoreError: they cannot be read now; what was counted stays.
        """
        async with self._one_at_a_time:
            while kept := await self._feedback.events_after(self._read_up_to, EVENTS_AT_ONCE):
                for event in kept:
                    self._count(event.event)
                self._read_up_to = kept[-1].sequence

    def _count(self, event: FeedbackEvent) -> None:
        recommendation_id = event.recommendation_id
        if recommendation_id is None:
            return
        arm = self._experiment.arm_of_recommendation(recommendation_id)
        if arm is None:
            return
        tracked = self._tracked.setdefault(recommendation_id, _Tracked(arm))
        self._tracked.move_to_end(recommendation_id)
        was_hit = tracked.is_shown and tracked.is_followed
        if event.type == IMPRESSION and not tracked.is_shown:
            tracked.is_shown = True
            self.counts[arm].num_shown += 1
        tracked.is_followed |= event.type not in NO_HIT_TYPES
        # Events may come in any order: a hit counts once both the impression and the click are known.
        self.counts[arm].num_hit += (tracked.is_shown and tracked.is_followed) - was_hit
        while len(self._tracked) > MAX_TRACKED:
            self._tracked.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Split:
    """An experiment that runs: who answers in each arm."""

    experiment: Experiment
    treatment: Recommendations
    outcomes: Outcomes

    def recommendations_for(self, user_id: str | None, control: Recommendations) -> tuple[Recommendations, Arm | None]:
        """Who answers this user, and the arm; nobody's arm is None."""
        if user_id is None:
            return control, None
        arm = self.experiment.arm_of(user_id)
        return (self.treatment if arm is Arm.TREATMENT else control), arm

    def serve(self, recommendation_id: str, arm: Arm) -> str:
        """Count a recommendation given in this arm; returns the id that says so."""
        self.outcomes.counts[arm].num_served += 1
        return self.experiment.mark(recommendation_id, arm)
