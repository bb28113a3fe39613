"""Say in every table which interactions are held out. Start at `describe_split`."""

from dataclasses import dataclass

import numpy as np

from clairo_core.values.counted import counted
from training.datasets.dataset import Dataset
from training.evaluation.split import training_items
from training.evaluation.time_cuts import later_targets, moment


@dataclass(frozen=True, slots=True)
class SplitDescription:
    """A rule of holding out, and what it holds out by time."""

    rule: str
    """The same for the same rule and cuts."""
    num_targets: int | None = None
    """None where each user has one."""
    num_cold_targets: int = 0
    """Of items that training lacks."""
    num_without_history: int = 0
    """Users with targets and no earlier event, who are left out."""

    def __str__(self) -> str:
        if self.num_targets is None:
            return self.rule
        return (
            f"{self.rule}: {self.num_targets:,} targets, {self.num_cold_targets:,} of them items that training lacks; "
            f"left out: {counted(self.num_without_history, 'user')} without an earlier event"
        )

    @property
    def to_predict(self) -> str:
        """What each user's list is measured by."""
        return "one held-out next item" if self.num_targets is None else "all items of the horizon"

    @property
    def why_nobody(self) -> str:
        """Why nothing can be measured, and the next step."""
        if self.num_targets is None:
            return "no user has enough items to hold one out; add interactions"
        return "no user with an earlier event has one in the horizon; set a longer one in [split]"


LEAVE_LAST_OUT = SplitDescription("leave-last-out")


def describe_split(dataset: Dataset, split_name: str) -> SplitDescription:
    """Describe `validation` or `test` of the dataset, seen items allowed."""
    if dataset.cuts is None:
        return LEAVE_LAST_OUT
    begin, end = (dataset.cuts.test, np.inf) if split_name == "test" else (dataset.cuts.validation, dataset.cuts.test)
    later = later_targets(dataset, begin, end, are_new=False)
    until = "" if end == np.inf else f" to {moment(end)}"
    return SplitDescription(
        f"split by time, {split_name} from {moment(begin)}{until}",
        len(later.targets.items),
        int(np.count_nonzero(~training_items(dataset)[later.targets.items])),
        later.num_without_history,
    )
