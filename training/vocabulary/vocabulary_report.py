"""Report on the tokens of a vocabulary and their use in histories. Start at `report_on_vocabulary`.

Uses are counted in the canonical tokens of every history. A token of a history spans two items if it has features of
both, which only a merge in the slot between two items brings about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Int32, Int64

from clairo_core.features import COLLISION_CATEGORY
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import TokenBatch, Tokenizer
from clairo_core.tokens.vocabulary import FIRST_FEATURE_TOKEN, Vocabulary
from training.vocabulary.modality_shares import ModalityShares

EXAMPLES_PER_TOKEN = 3


@dataclass(frozen=True, slots=True)
class TokenReport:
    """One token."""

    token: int
    parts: tuple[int, ...]
    """The two tokens that its rule merges; empty for a feature."""
    features: tuple[str, ...]
    """As category=value."""
    shares: Mapping[str, float]
    """By modality, adding up to 1; empty if no modality is known."""
    joins_modalities: bool
    """Whether its features come mostly from different modalities."""
    weighted_count: float
    """Count of its pair when the rule was learned, weighted by set sizes; 0 for a feature."""
    uses: int
    """In the canonical tokens of all histories."""
    uses_across_items: int
    """Uses in which its features belong to more than one item."""
    uses_in_views: int
    """In a random view of each history, as the generator reads it."""
    items: int
    """Items with it among their own canonical tokens."""
    examples: tuple[tuple[int, ...], ...]
    """Item rows, alone or in succession, in which it is used most."""

    @property
    def is_merge(self) -> bool:
        """Whether it comes from a merge rule."""
        return bool(self.parts)


@dataclass(frozen=True, slots=True)
class VocabularyReport:
    """All tokens but PAD and EOS, and the lengths of histories in them."""

    tokens: tuple[TokenReport, ...]
    num_items: int
    num_histories: int
    features_a_history: float
    canonical_tokens_a_history: float
    view_tokens_a_history: float

    @property
    def merges(self) -> list[TokenReport]:
        """Tokens of merge rules."""
        return [token for token in self.tokens if token.is_merge]

    @property
    def share_joining_modalities(self) -> float:
        """Share of merges with features of more than one modality."""
        return share(sum(token.joins_modalities for token in self.merges), len(self.merges))

    @property
    def share_joining_items(self) -> float:
        """Share of used merges that span items in most of their uses."""
        used = [token for token in self.merges if token.uses]
        return share(sum(2 * token.uses_across_items > token.uses for token in used), len(used))

    @property
    def share_of_uses_joining_items(self) -> float:
        """Share of all uses of merged tokens that span items."""
        return share(sum(token.uses_across_items for token in self.merges), sum(token.uses for token in self.merges))

    @property
    def share_holding_collision_index(self) -> float:
        """Share of merges that contain a collision index, which tells items apart and says nothing about them."""
        holding = sum(any(name.startswith(COLLISION_CATEGORY) for name in token.features) for token in self.merges)
        return share(holding, len(self.merges))

    @property
    def share_never_used(self) -> float:
        """Share of merges that occur in no history: each was merged into larger tokens."""
        return share(sum(token.uses == 0 for token in self.merges), len(self.merges))

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            "num_items": self.num_items,
            "num_histories": self.num_histories,
            "num_merges": len(self.merges),
            "features_a_history": self.features_a_history,
            "canonical_tokens_a_history": self.canonical_tokens_a_history,
            "view_tokens_a_history": self.view_tokens_a_history,
            "share_of_merges_joining_modalities": self.share_joining_modalities,
            "share_of_used_merges_joining_items": self.share_joining_items,
            "share_of_uses_joining_items": self.share_of_uses_joining_items,
            "share_of_merges_holding_collision_index": self.share_holding_collision_index,
            "share_of_merges_never_used": self.share_never_used,
            "tokens": [asdict(token) for token in self.tokens],
        }


def report_on_vocabulary(
    vocabulary: Vocabulary,
    shares: ModalityShares,
    feature_tokens: Int32[np.ndarray, "item category"],
    histories: ItemSequences,
    *,
    seed: int = 0,
) -> VocabularyReport:
    """Count the uses of every token, in all languages of the vocabulary.

    Args:
        vocabulary: to report on.
        shares: its `modality_shares`.
        feature_tokens: of all items.
        histories: rows of `feature_tokens`, oldest first.
        seed: of the random views.

    Raises:
        FeatureSetError: a history contains an item row beyond `feature_tokens`.
    """
    tokenizer = Tokenizer(vocabulary)
    languages = vocabulary.languages
    canonical = [tokenizer.encode_canonical_batch(feature_tokens, histories, language) for language in languages]
    views = [
        tokenizer.encode_views(feature_tokens, histories, seed=seed, language=language, eos=False)
        for language in languages
    ]
    own = [tokenizer.canonical_item_tokens(feature_tokens, language) for language in languages]
    places = [
        _places(batch, histories, vocabulary.feature_counts, len(language.categories))
        for batch, language in zip(canonical, languages, strict=True)
    ]
    used, first, last = (np.concatenate(of_languages) for of_languages in zip(*places, strict=True))
    uses, across = (np.bincount(which, minlength=vocabulary.size) for which in (used, used[last > first]))
    in_views, in_items = (
        np.bincount(np.concatenate([batch.ids.ravel() for batch in batches]), minlength=vocabulary.size)
        for batches in (views, own)
    )
    examples = _examples(used, first, last, histories.items)
    weighted = vocabulary.scaled_counts / vocabulary.weight_scale
    num_histories = max(len(histories), 1)

    def report_of(token: int) -> TokenReport:
        rule = token - vocabulary.first_merge_token
        names = vocabulary.category_names
        return TokenReport(
            token=token,
            parts=(int(vocabulary.left[rule]), int(vocabulary.right[rule])) if rule >= 0 else (),
            features=tuple(f"{names[category]}={value}" for category, value in vocabulary.features_of(token)),
            shares=shares.of(token),
            joins_modalities=bool(shares.has_feature_of[token].sum() > 1),
            weighted_count=float(weighted[rule]) if rule >= 0 else 0.0,
            uses=int(uses[token]),
            uses_across_items=int(across[token]),
            uses_in_views=int(in_views[token]),
            items=int(in_items[token]),
            examples=tuple(examples.get(token, ())),
        )

    return VocabularyReport(
        tokens=tuple(map(report_of, range(FIRST_FEATURE_TOKEN, vocabulary.size))),
        num_items=len(feature_tokens),
        num_histories=len(histories),
        features_a_history=len(histories.items) * sum(map(len, vocabulary.spelled_categories)) / num_histories,
        canonical_tokens_a_history=float(sum(batch.lengths.sum() for batch in canonical)) / num_histories,
        view_tokens_a_history=float(sum(batch.lengths.sum() for batch in views)) / num_histories,
    )


def _places(
    canonical: TokenBatch,
    histories: ItemSequences,
    feature_counts: Int32[np.ndarray, "token"],
    features_an_item: int,
) -> tuple[Int32[np.ndarray, "use"], Int64[np.ndarray, "use"], Int64[np.ndarray, "use"]]:
    """Every token of every history, with its first and last position in `histories.items`."""
    is_token = np.arange(canonical.ids.shape[1]) < canonical.lengths[:, None]
    counts = feature_counts[canonical.ids].astype(np.int64)
    up_to = np.cumsum(counts, axis=1)
    first = (up_to - counts) // features_an_item + histories.offsets[:-1, None]
    last = (up_to - 1) // features_an_item + histories.offsets[:-1, None]
    return canonical.ids[is_token], first[is_token], last[is_token]


def _examples(
    tokens: Int32[np.ndarray, "use"],
    first: Int64[np.ndarray, "use"],
    last: Int64[np.ndarray, "use"],
    items: Int32[np.ndarray, "position"],
) -> dict[int, list[tuple[int, ...]]]:
    """The items in which each token occurs most often, best first, ties by row."""
    if not len(tokens):
        return {}
    # Uses with equal ends count as equal: tokens of three items are rare, and any example of them will do.
    ends = np.stack([tokens, items[first], items[last]], axis=1)
    distinct, at, counts = np.unique(ends, axis=0, return_index=True, return_counts=True)
    examples: dict[int, list[tuple[int, ...]]] = {}
    for place in np.lexsort((np.arange(len(counts)), -counts, distinct[:, 0])).tolist():
        of_token = examples.setdefault(int(distinct[place, 0]), [])
        if len(of_token) < EXAMPLES_PER_TOKEN:
            of_token.append(tuple(items[first[at[place]] : last[at[place]] + 1].tolist()))
    return examples


def share(part: float, whole: float) -> float:
    """`part / whole`, or 0 if `whole` is 0."""
    return part / whole if whole else 0.0


def report_as_text(report: VocabularyReport, titles: Sequence[str], num_tokens: int) -> str:
    """The report as text: a summary, then the most used merges within items and across them."""
    within = sorted(report.merges, key=lambda token: (token.uses_across_items - token.uses, token.token))
    across = sorted(report.merges, key=lambda token: (-token.uses_across_items, token.token))
    sections = [
        f"{len(report.tokens):,} tokens: {len(report.tokens) - len(report.merges):,} features, "
        f"{len(report.merges):,} merges; {report.num_items:,} items, {report.num_histories:,} histories",
        f"a history has {report.features_a_history:.1f} features, {report.canonical_tokens_a_history:.1f} canonical "
        f"tokens, {report.view_tokens_a_history:.1f} tokens in a random view",
        f"merges joining features of more than one modality: {report.share_joining_modalities:.1%}",
        f"merges joining neighbouring items in most of their uses: {report.share_joining_items:.1%}; "
        f"share of all uses of merges: {report.share_of_uses_joining_items:.1%}",
        f"merges with a collision index, which says nothing about an item: {report.share_holding_collision_index:.1%}",
        f"merges that only occur inside larger ones: {report.share_never_used:.1%}",
        "\nmost used within an item:",
        *(_lines(token, titles, token.uses - token.uses_across_items) for token in within[:num_tokens]),
        "\nmost used across neighbouring items:",
        *(_lines(token, titles, token.uses_across_items) for token in across[:num_tokens] if token.uses_across_items),
    ]
    return "\n".join(sections)


def _lines(token: TokenReport, titles: Sequence[str], uses: int) -> str:
    shares = ", ".join(f"{modality} {part:.0%}" for modality, part in token.shares.items())
    examples = "; ".join(" -> ".join(titles[row] for row in rows) for rows in token.examples)
    return (
        f"{token.token:>7}  {uses:>7,} uses, {token.items:>5,} items  {' '.join(token.features)}"
        f"{f'  [{shares}]' if shares else ''}\n{'':9}{examples}"
    )
