"""Assign users to an experiment's arms, and mark recommendations with the arm that gave them.

A user stays in one arm while the experiment keeps its name and share: a hash of both names decides, nothing is stored.
The recommendation id names the arm in plain text, so feedback that carries one counts for that arm. A client that may
post feedback can forge such ids, just as it can forge feedback.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from clairo_core.errors import SettingsError

_EXPERIMENT = re.compile(r"(?P<name>[a-z0-9][a-z0-9_-]{0,40}):(?P<share>0|1|0?\.\d+|1\.0+):(?P<bundle_id>\S+)")


class Arm(StrEnum):
    """Which bundle answers a user."""

    CONTROL = "control"
    """The served bundle."""
    TREATMENT = "treatment"
    """The experiment's bundle."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as the operator configured it."""

    name: str
    share: float
    """Share of users in the treatment arm, from 0 to 1."""
    bundle_id: str
    """Bundle of the treatment arm."""

    def arm_of(self, user_id: str) -> Arm:
        """The user's arm: the same in every process, independent of other experiments."""
        digest = hashlib.sha256(f"{self.name}\0{user_id}".encode()).digest()
        return Arm.TREATMENT if int.from_bytes(digest[:8]) / 2**64 < self.share else Arm.CONTROL

    def mark(self, recommendation_id: str, arm: Arm) -> str:
        """The id of a recommendation given in this arm."""
        return f"{recommendation_id}.{self.name}.{arm}"

    def arm_of_recommendation(self, recommendation_id: str) -> Arm | None:
        """Invert `mark`; None for a recommendation outside this experiment."""
        _, _, rest = recommendation_id.partition(".")
        name, _, arm = rest.rpartition(".")
        return Arm(arm) if name == self.name and arm in set(Arm) else None


def parsed_experiment(text: str) -> Experiment:
    """Parse `name:share:bundle_id`.

    >>> parsed_experiment("bigger-vocabulary:0.1:shop-0123456789ab").share
    0.1

    Raises:
        SettingsError: the text has another form.
    """
    found = _EXPERIMENT.fullmatch(text)
    if found is None:
        raise SettingsError(
            f"experiment {text!r}: expected name:share:bundle_id with a name of lower-case letters, digits, - and _, "
            "and a share of users between 0 and 1, such as new-bundle:0.1:shop-0123456789ab"
        )
    return Experiment(found["name"], float(found["share"]), found["bundle_id"])
