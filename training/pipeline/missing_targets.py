"""Report before the first stage what cannot be measured or fitted for want of held-out targets."""

from training.evaluation.split import ALLOWED
from training.workbench.workbench import Workbench


def warn_of_missing_targets(bench: Workbench) -> None:
    """One line per thing that this run will go without. None of them ends it."""
    validation = bench.validation.targets
    if not len(validation):
        bench.report(
            "warning: no user has three different items, so nothing is validated: no early stopping, no choice between "
            "settings, and all parts of the ranking weigh the same"
        )
    elif not bench.is_training[validation].any():
        bench.report(
            f"warning: 0 of {len(validation):,} validation targets occur in a training sequence, so all parts of "
            "the ranking weigh the same, and new items are not calibrated"
        )
    if not len(bench.test[ALLOWED].targets):
        bench.report("warning: no user has three interactions, so the bundle is not measured; add interactions")
