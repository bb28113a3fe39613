"""Turn a bundle and its figures into one self-contained HTML page. Start at `page_of`."""

import base64
import hashlib
from datetime import datetime
from html import escape

import numpy as np

from clairo_core.bundle.bundle import Bundle
from clairo_core.features import COLLISION_CATEGORY
from clairo_core.progress import Progress
from training.comparison.figures import Comparison
from training.comparison.html_page import mode_switch, protocol_in_words, section_of_rankers, sections_of_modes
from training.comparison.item_pictures import PICTURE_STYLE, codes_in_pictures
from training.comparison.page_style import style_sheet
from training.comparison.run_charts import sections_of_runs
from training.report.map_section import SCRIPT, STYLE
from training.report.shown_items import shown_item


def page_of(bundle: Bundle, comparison: Comparison, sections: str, progress: Progress[int]) -> str:
    """The report as one HTML document; `sections` are those on map, new items and tokens."""
    title = f"{comparison.dataset}, {bundle.manifest.preset}"
    if comparison.modes:
        about, switch = protocol_in_words(comparison), mode_switch(comparison)
        measured, rankers = sections_of_modes(comparison), section_of_rankers(comparison)
    else:
        about, switch, measured, rankers = "Training measured nothing: it held out no interaction.", "", "", ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy()}">
<title>{escape(title)}: report</title><style>{style_sheet()}{PICTURE_STYLE}{STYLE}</style></head><body>
<header><h1>{escape(title)}</h1><p>{escape(_in_words(bundle))}</p><p>{about}</p>{switch}</header>
<main>{measured}{_against_serving(bundle)}{sections}{_codes(bundle, progress)}{sections_of_runs(comparison)}{rankers}
<footer>The folder charts beside this page holds the charts as PDF and CSV.</footer></main></body></html>
"""


def policy() -> str:
    """The page may run its one script and load nothing."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def _in_words(bundle: Bundle) -> str:
    manifest = bundle.manifest
    encoders = ", ".join(f"{modality} by {name}" for modality, name in sorted(manifest.encoders.items()))
    trained_on = "" if manifest.trained_on is None else f", trained on {manifest.trained_on['served']:,} interactions"
    content = encoders or "no content"
    made = datetime.fromisoformat(manifest.created_at).date().isoformat()
    return f"Bundle {manifest.bundle_id} of {made}: {len(bundle.items):,} items ({content}){trained_on}."


def _against_serving(bundle: Bundle) -> str:
    against = bundle.manifest.metrics.get("against_serving")
    if not against or against.get("difference") is None:
        return ""
    difference = against["difference"]
    return (
        "<section><h2>Against the bundle served before</h2><p>On the newest items of "
        f"{against['num_users']:,} users, which neither bundle had learned: NDCG@10 {against['ndcg_at_10']:.4f}, "
        f"bundle {escape(against['serving_bundle_id'])} {against['serving_ndcg_at_10']:.4f}; difference "
        f"{difference['value']:+.4f} (95% {difference['low']:+.4f} to {difference['high']:+.4f}).</p></section>"
    )


def _codes(bundle: Bundle, progress: Progress[int]) -> str:
    names = bundle.vocabulary.category_names
    levels = np.array([level for level, name in enumerate(names) if name != COLLISION_CATEGORY])
    return codes_in_pictures(
        bundle.catalogue.feature_sets[:, levels],
        [names[level] for level in levels],
        lambda row: shown_item(bundle, row),
        progress,
        "report: pictures behind codes",
    )
