"""Weigh items of the history against new ones, where both may be recommended. Start at `RepeatLifts`.

Sequence models overestimate repeats: items similar to the last one are likely, and none is as similar as itself. The
true rate is known from training and differs: customers of a grocer buy the same again, those of a film club never do.
One number per ranker corrects for it.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from clairo_core.errors import RankingError
from clairo_core.ranking.candidates import RankedItems


@dataclass(frozen=True, slots=True)
class RepeatLifts:
    """Added to the log-probabilities of items of the history. 0, as in bundles without lifts, changes nothing."""

    generator: float = 0.0
    """For the generator alone."""
    together: float = 0.0
    """For a joint ranking."""
    without_generator: float = 0.0
    """For a joint ranking where nothing was generated."""

    def save(self, path: Path) -> None:
        """Write the lifts as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")


NO_LIFTS = RepeatLifts()


def load_repeat_lifts(path: Path) -> RepeatLifts:
    """Load saved lifts; zeros if the file is missing, as in older bundles.

    Raises:
        RankingError: the file is damaged.
    """
    if not path.exists():
        return RepeatLifts()
    try:
        lifts = RepeatLifts(**json.loads(path.read_text(encoding="utf-8")))
        are_finite = all(math.isfinite(lift) for lift in asdict(lifts).values())
    except (OSError, ValueError, TypeError) as error:
        raise RankingError(f"{path}: cannot be read ({error}); copy the bundle again") from error
    if not are_finite:
        raise RankingError(f"{path}: got {asdict(lifts)}, expected finite numbers; train the bundle again")
    return lifts


def placed_with_repeats(ranked: RankedItems, history: Int[np.ndarray, "position"], lift: float) -> RankedItems:
    """Add `lift` to the scores of items of the history, and sort again."""
    scores = ranked.scores + lift * np.isin(ranked.item_rows, history)
    order = np.argsort(-scores, kind="stable")
    return RankedItems(ranked.item_rows[order], scores[order], ranked.is_dense[order])
