"""Stage: training sequences -> item-to-item weights by count model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scipy import sparse

from clairo_core.ranking import ItemWeights, load_item_weights, load_pair_counts, save_pair_counts
from clairo_core.ranking.joint_ranking import EASE
from clairo_core.ranking.pair_evidence import TOGETHER
from training.config.preset import DENSE_RERANKS
from training.counts.fit_item_weights import fit_item_weights, item_weights_of, pair_counts
from training.workbench.workbench import Workbench

CHOSEN = "chosen.json"


@dataclass(frozen=True, slots=True, eq=False)
class FittedItemWeights:
    """Item weights by component of the joint ranking."""

    weights: Mapping[str, ItemWeights]
    together: sparse.csr_matrix | None
    """How many users have both items of a pair; None where counts rank nothing."""
    chosen: Mapping[str, Mapping[str, float]]
    """Settings by component."""
    key: str


def item_weights_stage(bench: Workbench) -> FittedItemWeights:
    """Fit every count model with the settings that validation chooses; none where the dense head reranks."""
    settings = bench.preset.mix
    if settings.kind == DENSE_RERANKS:
        return FittedItemWeights({}, None, {}, "no-item-weights")

    def build(folder: Path) -> None:
        num_items = len(bench.dataset.items)
        together = pair_counts(bench.crowd, num_items, settings.pairs_per_item, bench.engine)
        weights, chosen = fit_item_weights(bench.crowd, num_items, together, bench.validation, settings, bench.progress)
        for component, of_component in weights.items():
            of_component.save(folder / component)
        save_pair_counts(folder / TOGETHER, together)
        (folder / CHOSEN).write_text(json.dumps(chosen, indent=2), encoding="utf-8")

    def load(folder: Path) -> tuple[dict[str, ItemWeights], sparse.csr_matrix, dict[str, dict[str, float]]]:
        chosen = json.loads((folder / CHOSEN).read_text(encoding="utf-8"))
        weights = {component: load_item_weights(folder / component) for component in chosen}
        return weights, load_pair_counts(folder / TOGETHER), chosen

    inputs = {
        "dataset": bench.dataset.fingerprint,
        "max_user_examples": bench.preset.fit.max_user_examples,
        "max_ease_items": settings.max_ease_items,
        "ease_weights_per_item": settings.ease_weights_per_item,
        "pairs_per_item": settings.pairs_per_item,
        # Of a stage that saved no scales, for counts after training.
        "has_scales": True,
    }
    stage = bench.stages.run("item-weights", inputs, build, load)
    weights, together, chosen = stage.result
    how = "chosen on validation" if len(bench.validation.targets) else "the first of its candidates: no validation user"
    for component, of_component in chosen.items():
        values = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in of_component.items())
        bench.report(f"{component}: {values}, {how}")
    if "num_pairs" in chosen.get(EASE, {}):
        bench.report(
            f"ease: more than {settings.max_ease_items:,} items, so each is solved on its strongest pairs alone; with "
            "the memory for a square of them, set mix.max_ease_items"
        )
    return FittedItemWeights(weights, together, chosen, stage.key)


def refitted_item_weights_stage(bench: Workbench, measured: FittedItemWeights) -> FittedItemWeights:
    """Count again, with the settings that validation chose."""
    if not measured.chosen:
        return measured
    chosen, settings, num_items = measured.chosen, bench.preset.mix, len(bench.dataset.items)

    def build(folder: Path) -> None:
        together = pair_counts(bench.crowd, num_items, settings.pairs_per_item, bench.engine)
        weights = item_weights_of(bench.crowd, num_items, together, chosen, settings.ease_weights_per_item)
        for component, of_component in bench.progress(weights, "counting again", len(chosen)):
            of_component.save(folder / component)
        save_pair_counts(folder / TOGETHER, together)

    def load(folder: Path) -> tuple[dict[str, ItemWeights], sparse.csr_matrix]:
        weights = {component: load_item_weights(folder / component) for component in chosen}
        return weights, load_pair_counts(folder / TOGETHER)

    inputs = {"measured": measured.key, "learned": bench.training_digest}
    stage = bench.stages.run("refit-item-weights", inputs, build, load)
    weights, together = stage.result
    return FittedItemWeights(weights, together, chosen, stage.key)
