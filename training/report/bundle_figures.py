"""Turn the metrics in a bundle's manifest into a comparison of the bundle with its parts and popularity.

Page and charts are then those of `clairo-train compare`. Old bundles lack some figures. Start at `comparison_of`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.manifest import BundleManifest
from clairo_core.errors import BundleManifestError
from training.comparison.figures import BreadthRow, Comparison, Difference, Figure
from training.comparison.run_details import RunDetails, curve_of, details_of_bundle
from training.evaluation.slices import Breadth
from training.evaluation.split_description import LEAVE_LAST_OUT, SplitDescription
from training.pipeline.evaluate import WHOLE

GENERATOR, DENSE_HEAD, POPULARITY = "generator", "dense head", "popularity"
NOTES = {
    POPULARITY: "training counts, the same for every user",
    GENERATOR: "the bundle's generator alone",
    DENSE_HEAD: "the bundle's dense heads alone",
    WHOLE: "the whole bundle, with the weights that it is served with",
}
"""By name in a manifest, in the order of the page."""


def comparison_of(bundle: Bundle) -> Comparison:
    """The bundle beside its parts, as its training measured them; without figures if it measured none.

    Raises:
        BundleManifestError: a metric is missing or of another type.
    """
    manifest = bundle.manifest
    try:
        return _read(bundle, manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleManifestError(
            f"{bundle.folder}: the metrics of bundle {manifest.bundle_id} cannot be read ({error!r}), expected those "
            "of clairo-train run; train the bundle again"
        ) from error


def _read(bundle: Bundle, manifest: BundleManifest) -> Comparison:
    metrics = manifest.metrics
    evaluation: Mapping[str, Any] = metrics.get("evaluation", {})
    rows = [row for row in evaluation.get("rows", ()) if row["ranker"] in NOTES]
    measured = {row["ranker"] for row in rows} | {WHOLE}
    names = {name: manifest.preset if name == WHOLE else name for name in NOTES if name in measured}
    return Comparison(
        dataset=manifest.dataset_name,
        split=evaluation.get("split", "validation"),
        num_users=evaluation.get("num_users", 0),
        num_users_in_split=evaluation.get("num_users_in_split", 0),
        num_items=len(bundle.items),
        num_resamples=manifest.settings.get("evaluate", {}).get("num_resamples", 0),
        notes={names[name]: NOTES[name] for name in names},
        figures=(*_figures(evaluation, rows, names), *_slices(evaluation.get("slices", ()), names)),
        differences=tuple(_gains(evaluation, rows, names)),
        breadths=tuple(_breadth(row, names) for row in rows),
        details={names[name]: (details,) for name, details in _details(bundle, measured).items() if name in names},
        held_out=SplitDescription(**evaluation["held_out"]) if "held_out" in evaluation else LEAVE_LAST_OUT,
    )


def _figures(
    evaluation: Mapping[str, Any], rows: list[Mapping[str, Any]], names: Mapping[str, str]
) -> Iterator[Figure]:
    for row in rows:
        for metric in row["metrics"]:
            span = (metric["value"], metric["low"], metric["high"])
            place = (names[row["ranker"]], row["seen_items"], "all", "all", _num_users(evaluation, row))
            yield Figure(*place, metric["name"], *span, num_seeds=1, spread=0.0)


def _slices(rows: list[Mapping[str, Any]], names: Mapping[str, str]) -> Iterator[Figure]:
    for row in rows:
        metric = row["ndcg_at_10"]
        span = (metric["value"], metric["low"], metric["high"])
        place = (names[row["ranker"]], row["seen_items"], row["kind"], row["label"], row["num_users"])
        yield Figure(*place, metric["name"], *span, num_seeds=1, spread=0.0)


def _gains(
    evaluation: Mapping[str, Any], rows: list[Mapping[str, Any]], names: Mapping[str, str]
) -> Iterator[Difference]:
    num_users = {row["seen_items"]: _num_users(evaluation, row) for row in rows}
    for (mode, count), gain in zip(num_users.items(), evaluation.get("gain_over_popularity", ()), strict=True):
        span = (gain["value"], gain["low"], gain["high"])
        yield Difference(names[WHOLE], POPULARITY, mode, "all", "all", count, "ndcg@10", *span)


def _num_users(evaluation: Mapping[str, Any], row: Mapping[str, Any]) -> int:
    """Earlier releases had the same users in every mode."""
    return int(row.get("num_users", evaluation["num_users"]))


def _breadth(row: Mapping[str, Any], names: Mapping[str, str]) -> BreadthRow:
    unknown = float("nan")
    breadth = Breadth(row["coverage_at_10"], row.get("gini_at_10", unknown), row.get("mean_popularity", unknown))
    return BreadthRow(names[row["ranker"]], row["seen_items"], breadth)


def _details(bundle: Bundle, measured: set[str]) -> dict[str, RunDetails]:
    """By name in a manifest: the curve of each trained part, and codes and searches of the whole."""
    metrics, vocabulary = bundle.manifest.metrics, bundle.vocabulary
    whole = details_of_bundle(
        metrics, bundle.catalogue.feature_sets, vocabulary.category_names, vocabulary.category_sizes, ()
    )
    details = {POPULARITY: RunDetails(), WHOLE: whole}
    if GENERATOR in measured:
        details[WHOLE] = replace(whole, curve=None)
        details[GENERATOR] = RunDetails(curve=whole.curve)
    if DENSE_HEAD in measured:
        details[DENSE_HEAD] = RunDetails(curve=curve_of(metrics.get("dense", {})))
    return details
