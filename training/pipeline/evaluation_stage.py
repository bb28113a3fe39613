"""Stage: a recommender and the test split -> the bundle's table. Never cached: it runs once, when all is chosen."""

from clairo_core.recommender import Recommender
from training.evaluation.split import ALLOWED
from training.pipeline.evaluate import Evaluation, evaluate, table_of
from training.workbench.workbench import Workbench


def evaluation_stage(bench: Workbench, recommender: Recommender) -> Evaluation | None:
    """Measure on the test split and report the table. None without test users."""
    if not len(bench.test[ALLOWED].targets):
        return None
    evaluation = evaluate(
        recommender,
        bench.dataset,
        bench.training_counts,
        bench.test,
        split_name="test",
        max_users=bench.preset.evaluate.max_users,
        seed=bench.seed,
        num_resamples=bench.preset.evaluate.num_resamples,
        progress=bench.progress,
    )
    bench.report(table_of(evaluation))
    return evaluation
