"""Report before the first stage what cannot be learned, fitted or measured. Start at `check_targets`."""

from clairo_core.errors import TrainingError
from training.evaluation.split import ALLOWED, teaches
from training.workbench.workbench import Workbench


def check_targets(bench: Workbench) -> None:
    """Report each thing that this run will go without.

    Raises:
        TrainingError: nobody has two interactions, no target follows any, or all are with one item: there is nothing to
            learn.
    """
    lacks = "no user has two interactions" if bench.training.lengths.max(initial=0) < 2 else ""
    if bench.is_training.sum() < 2:
        lacks = "the interactions name fewer than two items"
    if not lacks and not teaches(bench.training):
        lacks = "no target follows another interaction of its user"
    if lacks:
        raise TrainingError(f"{bench.dataset.name}: {lacks}, so there is nothing to learn; add interactions")
    validation = bench.validation.targets
    by_time = bench.dataset.cuts is not None
    if not len(validation):
        nobody = "meets a new item in its horizon" if by_time else "has enough different items to hold one out"
        bench.report(
            f"warning: no user {nobody}, so nothing is validated: no early stopping, "
            "no choice between settings, and all parts of the ranking weigh the same"
        )
    elif not bench.is_training[validation].any():
        bench.report(
            f"warning: 0 of {len(validation):,} validation targets occur in a training sequence, so all parts of "
            "the ranking weigh the same, and new items are not calibrated"
        )
    if not len(bench.test[ALLOWED].targets):
        nobody = "has a target in the test horizon" if by_time else "has enough interactions to hold one out"
        bench.report(f"warning: no user {nobody}, so the bundle is not measured")
