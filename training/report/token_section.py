"""Draw what merged tokens mean: their features, and items that have them, most used first."""

from collections.abc import Sequence
from html import escape

from clairo_core.bundle.bundle import Bundle
from training.comparison.item_pictures import row_of_items
from training.report.shown_items import shown_item
from training.vocabulary.vocabulary_report import TokenReport, VocabularyReport

TOKENS_SHOWN = 12


def token_section(bundle: Bundle, report: VocabularyReport, *, is_of_histories: bool) -> str:
    """The section's HTML; empty for a vocabulary without merges.

    With `is_of_histories`, uses are counted in users' histories, else in the items, each alone.
    """
    if not report.merges:
        return ""
    within = sorted(report.merges, key=lambda token: (token.uses_across_items - token.uses, token.token))
    across = sorted(report.merges, key=lambda token: (-token.uses_across_items, token.token))
    of_items = _rows(bundle, [token for token in within if token.uses > token.uses_across_items])
    if is_of_histories:
        meaning = (
            f"Histories have {report.features_a_history:.1f} features and {report.canonical_tokens_a_history:.1f} "
            f"tokens on average. {report.share_joining_modalities:.0%} of the merges join modalities, and "
            f"{report.share_joining_items:.0%} of those in use join neighbouring items. Uses are those in "
            f"{report.num_histories:,} histories."
        )
        of_pairs = _rows(bundle, [token for token in across if token.uses_across_items])
    else:
        meaning = (
            f"{report.share_joining_modalities:.0%} of the merges join modalities. Uses are those in the items, each "
            "alone; with --data, they are counted in histories, and tokens of neighbouring items are shown too."
        )
        of_pairs = ""
    pairs = f"<h3>Across neighbouring items of a history</h3>{of_pairs}" if of_pairs else ""
    return (
        f"<section><h2>What merges mean</h2><p>{len(report.merges):,} tokens stand for features that keep occurring "
        f"together. {meaning}</p><h3>Within an item</h3>{of_items or '<p>None is in use.</p>'}{pairs}</section>"
    )


def _rows(bundle: Bundle, tokens: Sequence[TokenReport]) -> str:
    return "".join(_row(bundle, token) for token in tokens[:TOKENS_SHOWN])


def _row(bundle: Bundle, token: TokenReport) -> str:
    shares = ", ".join(f"{modality} {share:.0%}" for modality, share in token.shares.items())
    note = f"{token.uses:,} uses<br>{escape(' '.join(token.features))}" + (f"<br>{escape(shares)}" if shares else "")
    examples = [row for rows in token.examples for row in rows]
    return row_of_items(f"token {token.token}", note, [shown_item(bundle, row) for row in examples])
