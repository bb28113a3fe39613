"""Compare the metrics of bundles: a worse one is not activated. Start at `check_not_worse`."""

from collections.abc import Mapping
from typing import Any

from clairo_core.bundle.manifest import BundleManifest
from service.errors import WorseBundleError

DECIDING_METRIC = "ndcg@10"
MASKED = "masked"


def deciding_metric(metrics: Mapping[str, Any]) -> float | None:
    """NDCG@10 in the bundle's evaluation; None if not measured.

    Seen items masked, as the service does and as every release measured. Without masked targets the first row counts.
    The bundle's own row is the first of each kind.

    >>> deciding_metric({"evaluation": {"rows": [{"metrics": [{"name": "ndcg@10", "value": 0.25}]}]}})
    0.25
    >>> deciding_metric({"ndcg@10": 0.5})
    0.5
    """
    value = metrics.get(DECIDING_METRIC)
    if value is None:
        row = _deciding_row(metrics)
        try:
            value = next(metric["value"] for metric in row["metrics"] if metric["name"] == DECIDING_METRIC)
        except (KeyError, TypeError, StopIteration):
            return None
    return _number(value)


def _deciding_row(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row of `deciding_metric`; empty without one."""
    try:
        rows = metrics["evaluation"]["rows"]
        row = next((row for row in rows if row.get("seen_items") == MASKED), rows[0])
    except (KeyError, IndexError, TypeError, AttributeError):
        return {}
    return row if isinstance(row, Mapping) else {}


def refusal_by_retraining(metrics: Mapping[str, Any], serving_bundle_id: str) -> str | None:
    """Why retraining's comparison with the served bundle refuses this one; empty if it does not.

    None without a comparison with that bundle. Releases before this one stored no refusal: their figures count.

    >>> refusal_by_retraining({"against_serving": {"serving_bundle_id": "old", "refusal": None}}, "old")
    ''
    >>> refusal_by_retraining({"against_serving": {
    ...     "serving_bundle_id": "old", "num_users": 9, "serving_ndcg_at_10": 0.2, "ndcg_at_10": 0.1}}, "old")
    'NDCG@10 on 9 targets is 0.1000, the served bundle has 0.2000'
    """
    against = metrics.get("against_serving")
    if not isinstance(against, Mapping) or against.get("serving_bundle_id") != serving_bundle_id:
        return None
    if "refusal" in against:
        return str(against["refusal"] or "")
    serving_value, value = _number(against.get("serving_ndcg_at_10")), _number(against.get("ndcg_at_10"))
    return refusal_of_figures(value, serving_value, against.get("num_users"))


def refusal_of_figures(value: float | None, serving_value: float | None, num_targets: object) -> str:
    """Why these figures on the same targets do not show a bundle that is as good; empty if they do."""
    if value is None or serving_value is None:
        return f"{'it' if value is None else 'the served bundle'} has no measured {DECIDING_METRIC}"
    if value < serving_value:
        on_targets = f" on {num_targets} targets" if num_targets else ""
        return f"NDCG@10{on_targets} is {value:.4f}, the served bundle has {serving_value:.4f}"
    return "" if value > 0 else "neither bundle finds any target, so nothing was compared"


def own_targets(manifest: BundleManifest) -> dict[str, object]:
    """What determines the targets of a bundle's own evaluation, by name."""
    evaluation = manifest.metrics.get("evaluation")
    fields = evaluation if isinstance(evaluation, Mapping) else {}
    num_users, num_in_split = fields.get("num_users"), fields.get("num_users_in_split")
    return {
        "dataset": manifest.dataset_fingerprint,
        "event types": [name for name in manifest.rules.types if manifest.rules.is_target(name)],
        "split": fields.get("split"),
        "held out": _rule_of_split(fields),
        "seen items": _deciding_row(manifest.metrics).get("seen_items"),
        "users": num_users,
        "users in split": num_in_split,
        "seed of the users": manifest.settings.get("seed") if num_users != num_in_split else None,
    }


def _rule_of_split(evaluation: Mapping[str, Any]) -> object:
    """Releases before splits by time held out each user's last items."""
    held_out = evaluation.get("held_out")
    return held_out.get("rule") if isinstance(held_out, Mapping) else "leave-last-out"


def check_not_worse(candidate: BundleManifest, serving: BundleManifest) -> None:
    """Refuse a bundle that is worse, or that nothing shows to be as good.

    Retraining's measurement of both bundles on the same targets decides, else each bundle's own evaluation, if both
    rest on the same targets.

    Raises:
        WorseBundleError: its NDCG@10 is lower, or not measured, or measured on other targets, or neither finds any.
    """
    refusal = refusal_by_retraining(candidate.metrics, serving.bundle_id)
    if refusal is None:
        value, serving_value = deciding_metric(candidate.metrics), deciding_metric(serving.metrics)
        targets, serving_targets = own_targets(candidate), own_targets(serving)
        refusal = refusal_of_figures(value, serving_value, targets["users"])
        differing = [
            f"{name} {targets[name]}, the served bundle {serving_targets[name]}"
            for name in targets
            if targets[name] != serving_targets[name]
        ]
        if value is not None and serving_value is not None and differing:
            refusal = f"it was not measured on the same targets ({'; '.join(differing)})"
    if refusal:
        raise WorseBundleError(
            f"bundle {candidate.bundle_id} may be worse than the served bundle {serving.bundle_id}: {refusal}; "
            "compare them with clairo-train run --data service, or activate with allow_worse=true"
        )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
