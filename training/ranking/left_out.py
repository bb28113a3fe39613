"""Leave out one part of a joint ranking and fit new weights for the others: what the part adds to the whole.

A part that is left out neither scores candidates nor proposes any. Start at `mixtures_without_each`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from clairo_core.progress import Progress
from clairo_core.ranking import Mixture
from clairo_core.ranking.joint_ranking import DENSE, GENERATOR
from clairo_core.recommender import Recommender
from training.evaluation.split import EvaluationSplit
from training.ranking.fit_mixture import MixtureExamples, fit_mixture
from training.ranking.mixture_examples import mixture_examples

DENSE_HEAD, COUNTS, PAIR_EVIDENCE = "dense head", "counts", "pair evidence"
PARTS = (GENERATOR, DENSE_HEAD, COUNTS, PAIR_EVIDENCE)
"""Without counts, there is no pair evidence either. New items stay where the dense head puts them."""


def mixtures_without_each(
    recommender: Recommender,
    item_ids: Sequence[str],
    users: EvaluationSplit,
    seed: int,
    progress: Progress[int],
) -> Mapping[str, Mixture]:
    """Fit one mixture per left-out part of `PARTS`, on the same users.

    Args:
        recommender: with a fitted joint ranking.
        item_ids: of the rows of the users' items.
        users: validation users, as for the whole mixture.
        seed: of the fit.
        progress: over batches of users.
    """
    ranking = recommender.joint_ranking
    assert ranking is not None
    assert ranking.mixture is not None
    examples = mixture_examples(recommender, ranking, item_ids, users, progress)
    return {
        part: replace(fit_mixture(without(examples, part), seed), new_item_lift=ranking.mixture.new_item_lift)
        for part in PARTS
    }


def without(examples: MixtureExamples, part: str) -> MixtureExamples:
    """The examples without one of `PARTS`."""
    if part == PAIR_EVIDENCE:
        return examples.without_evidence()
    if part == COUNTS:
        kept = tuple(name for name in examples.components if name in (GENERATOR, DENSE))
        return examples.of_components(kept).without_evidence()
    left_out = DENSE if part == DENSE_HEAD else part
    return examples.of_components(tuple(name for name in examples.components if name != left_out))
