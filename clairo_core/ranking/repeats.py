"""Weigh what a user already has against what is new to them, where both may be recommended.

Models of sequences think that people want again what they had far more often than they do: what is like the last item
is likely, and nothing is as like it as itself. How often people do is plain from training, and differs: a grocer's
customers come back for the same, a film club's never do. One number a ranker makes up the difference.

Knows lists and histories; knows nothing of what ranked them, or of how the number is found. Start at `RepeatLifts`.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from clairo_core.errors import RankingError
from clairo_core.ranking.joint_ranking import RankedItems


@dataclass(frozen=True, slots=True)
class RepeatLifts:
    """Added to the log-probability of items of the history. With 0, as from bundles that have none, nothing changes."""

    generator: float = 0.0
    """Where the generator alone ranks."""
    together: float = 0.0
    """Where a joint ranking has the last word."""

    def save(self, path: Path) -> None:
        """Write them as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")


NO_LIFTS = RepeatLifts()


def load_repeat_lifts(path: Path) -> RepeatLifts:
    """Read what `save` wrote; none where there is no such file, as in bundles from before they were measured.

    Raises:
        RankingError: the file is damaged.
    """
    if not path.exists():
        return RepeatLifts()
    try:
        lifts = RepeatLifts(**json.loads(path.read_text(encoding="utf-8")))
        are_finite = math.isfinite(lifts.generator) and math.isfinite(lifts.together)
    except (OSError, ValueError, TypeError) as error:
        raise RankingError(f"{path}: cannot be read ({error}); copy the bundle again") from error
    if not are_finite:
        raise RankingError(
            f"{path}: {lifts.generator!r} and {lifts.together!r}, expected numbers; train the bundle anew"
        )
    return lifts


def placed_with_repeats(ranked: RankedItems, history: Int[np.ndarray, "position"], lift: float) -> RankedItems:
    """The list with `lift` added to the scores of what stands in the history, in its new order."""
    scores = ranked.scores + lift * np.isin(ranked.item_rows, history)
    order = np.argsort(-scores, kind="stable")
    return RankedItems(ranked.item_rows[order], scores[order], ranked.is_dense[order])
