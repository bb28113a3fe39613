"""Draw what merged tokens mean: their features, and items that have them, most used first."""

from html import escape

from clairo_core.bundle.bundle import Bundle
from clairo_core.values.counted import counted
from training.comparison.item_pictures import row_of_items
from training.report.shown_items import shown_item
from training.vocabulary.vocabulary_report import TokenReport, VocabularyReport

TOKENS_SHOWN = 12


def token_section(bundle: Bundle, report: VocabularyReport, *, is_of_histories: bool) -> str:
    """The section's HTML for a vocabulary with merges.

    With `is_of_histories`, uses are counted in users' histories, else in the items, each alone.
    """
    within = sorted(report.merges, key=lambda token: (token.uses_across_items - token.uses, token.token))
    across = sorted(report.merges, key=lambda token: (-token.uses_across_items, token.token))
    of_items = "".join(_within(bundle, token) for token in within[:TOKENS_SHOWN] if token.uses)
    if is_of_histories:
        meaning = (
            f"Histories have {report.features_a_history:.1f} features and {report.canonical_tokens_a_history:.1f} "
            f"tokens on average. {report.share_joining_modalities:.0%} of the merges join modalities, and "
            f"{report.share_joining_items:.0%} of those in use join neighbouring items. Uses are those in "
            f"{report.num_histories:,} histories."
        )
        joining = [token for token in across if any(len(rows) > 1 for rows in token.examples)]
        of_pairs = "".join(_across(bundle, token) for token in joining[:TOKENS_SHOWN])
    else:
        meaning = (
            f"{report.share_joining_modalities:.0%} of the merges join modalities. Uses are those in the items, each "
            "alone; with --data, they are counted in histories, and tokens of neighbouring items are shown too."
        )
        of_pairs = ""
    pairs = (
        f'<h3>Across neighbouring items of a history, oldest first</h3><div class="tokens">{of_pairs}</div>'
        if of_pairs
        else ""
    )
    return (
        f"<section><h2>What merges mean</h2><p>{len(report.merges):,} tokens stand for features that keep occurring "
        f"together. {meaning}</p><h3>Within an item</h3>"
        f'<div class="tokens">{of_items}</div>{pairs}</section>'
    )


def _within(bundle: Bundle, token: TokenReport) -> str:
    alone = [rows[0] for rows in token.examples if len(rows) == 1]
    uses = counted(token.uses - token.uses_across_items, "use")
    return row_of_items(f"token {token.token}", _note(token, uses), [shown_item(bundle, row) for row in alone])


def _across(bundle: Bundle, token: TokenReport) -> str:
    (first, *_) = [rows for rows in token.examples if len(rows) > 1]
    uses = counted(token.uses_across_items, "use")
    return row_of_items(f"token {token.token}", _note(token, uses), [shown_item(bundle, row) for row in first])


def _note(token: TokenReport, uses: str) -> str:
    shares = ", ".join(f"{modality} {share:.0%}" for modality, share in token.shares.items())
    return "<br>".join(escape(line) for line in (uses, " ".join(token.features), shares) if line)
