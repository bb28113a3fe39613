"""Rows of a difference paired by user, with its interval."""

import numpy as np
from jaxtyping import Float

from benchmarks.report import Row
from training.evaluation.metrics import paired_difference

NUM_RESAMPLES = 1000


def paired_rows(
    name: str, ours: Float[np.ndarray, "user"], theirs: Float[np.ndarray, "user"], *, low_aim: float | None = None
) -> list[Row]:
    """Mean of ours minus theirs, and both ends of its 95% interval."""
    gain = paired_difference(ours, theirs, NUM_RESAMPLES)
    return [
        Row(name, gain.value, "", "higher"),
        Row(f"{name}, low end", gain.low, "", "higher", aim=low_aim),
        Row(f"{name}, high end", gain.high, "", "higher"),
    ]
