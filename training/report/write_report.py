"""Write a bundle's page and its charts into the bundle's folder. Start at `write_report`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import REPORT_PAGE
from clairo_core.progress import Progress
from clairo_core.sequences import ItemSequences
from clairo_core.storage.replaced_file import replace_text
from training.report.bundle_figures import comparison_of
from training.report.bundle_page import page_of
from training.report.item_map import map_items
from training.report.map_section import map_section
from training.report.new_items import new_items_section
from training.report.paper_charts import charts_of, write_charts
from training.report.token_section import token_section
from training.vocabulary.modality_shares import modality_shares
from training.vocabulary.report_on_bundle import counted_histories
from training.vocabulary.vocabulary_report import report_on_vocabulary
from training.workbench.bundle_dataset import open_bundle_dataset


def write_report(
    bundle_folder: Path, data: Path | None, progress: Progress[int], report: Callable[[str], None]
) -> Path:
    """Write report/report.html and report/charts/ into the bundle's folder. Returns the page's path.

    Neither is in the manifest: the bundle's id and files stay as they are.

    Args:
        bundle_folder: of the bundle.
        data: the dataset it was trained on, in whose histories tokens are counted; None counts them in items.
        progress: of pictures.
        report: takes messages.

    Raises:
        BundleError: the bundle cannot be loaded.
        DatasetError: the dataset cannot be read, or contains no item of the bundle.
    """
    bundle = load_bundle(bundle_folder)
    comparison = comparison_of(bundle)
    tokens = _tokens(bundle, data, progress, report)
    vectors = item_vectors(bundle)
    report("report: drawing the map")
    item_map = None if vectors is None else map_items(vectors)
    sections = "".join(
        (
            "" if item_map is None else map_section(item_map, bundle),
            new_items_section(bundle, vectors),
            tokens,
        )
    )
    page = bundle_folder / REPORT_PAGE
    page.parent.mkdir(exist_ok=True)
    write_charts(page.parent / "charts", charts_of(comparison, item_map, bundle))
    replace_text(page, page_of(bundle, comparison, sections, progress))
    return page


def item_vectors(bundle: Bundle) -> Float32[np.ndarray, "item dim"] | None:
    """Item embeddings; in bundles of precomputed codes, the vectors of the first dense head; else None."""
    if bundle.item_embeddings is not None:
        return bundle.item_embeddings.item_embeddings
    if bundle.joint_ranking is None:
        return None
    return bundle.joint_ranking.dense_heads.heads[0].item_vectors


def _tokens(bundle: Bundle, data: Path | None, progress: Progress[int], report: Callable[[str], None]) -> str:
    if not len(bundle.vocabulary.left):
        if data is not None:
            report(f"note: --data {data} counts merged tokens in histories, and this bundle has none; it is not read")
        return ""
    if data is None:
        rows = np.arange(len(bundle.items), dtype=np.int32)
        histories = ItemSequences.from_lengths(rows, np.ones(len(rows), dtype=np.int64))
    else:
        histories = counted_histories(bundle, open_bundle_dataset(bundle, data, progress, report), report)
    shares = modality_shares(bundle.vocabulary, bundle.fusion, bundle.quantizer)
    tokens = report_on_vocabulary(bundle.vocabulary, shares, bundle.catalogue.feature_tokens, histories)
    return token_section(bundle, tokens, is_of_histories=data is not None)
