"""Explain which history items led to each recommendation, and what both items share.

The effect of a history item is the drop of the recommended item's log-probability when it is left out. The whole
recommender, joint ranking included, ranks only the recommended items: once for the whole history, once without each
of its items. So effects are exact and independent of surviving beams. Shared features are no part of the effect.

Start at `requests_without_each` and `explain`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clairo_core.attributes import Value, singles_of, texts_of
from clairo_core.features import COLLISION_CATEGORY
from clairo_core.items import UserHistory
from clairo_core.recommendation import EMPTY_HISTORY, POPULAR, Recommendation, RecommendationList, RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.serving_points import BALANCED, Quality
from service.recommend.item_table import ItemTable

MAX_REASONS = 3
MAX_QUOTED_CHARACTERS = 80
ALIKE = 0.3
"""Least cosine within a modality for two items to be called alike in it."""
LEAST_EFFECT = 0.05
"""In log-probability: an item that makes another less than 5% more likely is not a reason for it."""
WITHOUT_HISTORY = {POPULAR: "most popular", "trending": "trending", "latest": "latest"}
"""Sources of items that no history led to, in words."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A history item that led to a recommendation."""

    item_id: str
    title: str
    effect: float | None
    """None for the only item of a history: an empty history has no generated items to compare with."""
    shared_attributes: Mapping[str, Value]
    shared_features: tuple[tuple[str, int], ...]
    """(category, value), without the collision index."""
    modality_similarity: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Explained:
    """Why one item is recommended."""

    text: str
    because_of: tuple[Reason, ...] = ()


def explained_history(recommender: Recommender, history: UserHistory) -> tuple[str, ...]:
    """Items of a history that reach the model: the newest in the catalogue, oldest first."""
    known = tuple(item_id for item_id in history.item_ids if recommender.catalogue.find_row(item_id) is not None)
    return known[-recommender.max_history_items :]


def requests_without_each(
    recommender: Recommender,
    history: UserHistory,
    items: Sequence[Recommendation],
    seed: int,
    quality: Quality = BALANCED,
    disliked: Collection[str] = (),
) -> list[RecommendationRequest]:
    """Requests that rank `items` for the whole history, then without each of its distinct items; dislikes stay.

    Empty if the history has fewer than two distinct items, or every item is a popular one.
    """
    item_ids = explained_history(recommender, history)
    distinct = list(dict.fromkeys(item_ids))
    if len(distinct) < 2 or all(item.source in WITHOUT_HISTORY for item in items):
        return []
    is_recommended = np.zeros(len(recommender.catalogue), dtype=np.bool_)
    is_recommended[[recommender.catalogue.row_of(item.item_id) for item in items]] = True
    histories = [item_ids, *(tuple(kept for kept in item_ids if kept != left_out) for left_out in distinct)]
    return [
        RecommendationRequest(
            history=UserHistory(of_some),
            limit=len(items),
            include_seen=True,
            disliked=disliked,
            is_allowed=is_recommended,
            seed=seed,
            quality=quality,
        )
        for of_some in histories
    ]


def explain(
    table: ItemTable,
    recommender: Recommender,
    history: UserHistory,
    answer: RecommendationList,
    answers: Sequence[RecommendationList],
) -> list[Explained]:
    """Explain each item of an answer.

    Args:
        table: of the recommender's items.
        recommender: that gave the answer.
        history: that the answer is for.
        answer: the recommended items.
        answers: to `requests_without_each`, in order.
    """
    distinct = list(dict.fromkeys(explained_history(recommender, history)))
    scores = [
        {item.item_id: item.score for item in answered.items if item.source not in WITHOUT_HISTORY}
        for answered in answers
    ]
    explained = []
    for item in answer.items:
        moved = f" Moved by {', '.join(item.rules)}." if item.rules else ""
        if item.source in WITHOUT_HISTORY:
            text = _text_without_history(WITHOUT_HISTORY[item.source], answer.fallback_reason)
            explained.append(Explained(text + moved))
            continue
        if scores:
            reasons = [
                _reason(table, recommender, item.item_id, of, effect)
                for of, effect in _strongest_effects(item.item_id, distinct, scores)
            ]
        else:
            reasons = [_reason(table, recommender, item.item_id, of, None) for of in distinct]
        explained.append(Explained(_text(reasons, was_measured=bool(scores)) + moved, tuple(reasons)))
    return explained


def _strongest_effects(
    item_id: str, history: Sequence[str], scores: Sequence[Mapping[str, float]]
) -> list[tuple[str, float]]:
    """History items whose absence lowers the score most, strongest first, with the drop; at least `LEAST_EFFECT`."""
    whole, *without_each = scores
    effects = [
        (left_out, whole[item_id] - without[item_id])
        for left_out, without in zip(history, without_each, strict=True)
        if item_id in whole and item_id in without
    ]
    strongest = sorted((effect for effect in effects if effect[1] >= LEAST_EFFECT), key=lambda effect: -effect[1])
    return strongest[:MAX_REASONS]


def _reason(table: ItemTable, recommender: Recommender, item_id: str, seen_id: str, effect: float | None) -> Reason:
    catalogue = recommender.catalogue
    row, seen_row = catalogue.row_of(item_id), catalogue.row_of(seen_id)
    item, seen = table.items[row].item, table.items[seen_row].item
    codes = zip(
        recommender.tokenizer.vocabulary.category_names,
        catalogue.feature_sets[row].tolist(),
        catalogue.feature_sets[seen_row].tolist(),
        strict=True,
    )
    return Reason(
        item_id=seen_id,
        title=seen.title,
        effect=None if effect is None else round(effect, 6),
        shared_attributes={
            name: value
            for name, value in item.attributes.items()
            if seen.attributes.get(name) == value and singles_of(value)
        },
        shared_features=tuple(
            (name, value) for name, value, of_seen in codes if value == of_seen and name != COLLISION_CATEGORY
        ),
        modality_similarity=table.modality_similarities(row, np.array([seen_row]))[0],
    )


def _text_without_history(kind: str, fallback_reason: str | None) -> str:
    if fallback_reason == EMPTY_HISTORY:
        return f"One of the {kind} products: there is no history to go by."
    if fallback_reason is None:
        return "A popular product that fills the list: this history led to no further ones."
    return f"One of the {kind} products: the history led to too few others."


def _text(reasons: Sequence[Reason], *, was_measured: bool) -> str:
    """Put the figures beside it into one or two sentences."""
    if not reasons:
        return "The history as a whole led to it: leaving out any single product hardly changes its probability."
    names = [_quoted(reason.title) for reason in reasons]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    beginning = f"Mostly because of {listed}." if was_measured else f"Because of {listed}, the only one in the history."
    strongest = reasons[0]
    shared = [f"{name} {_quoted(', '.join(texts_of(value)))}" for name, value in strongest.shared_attributes.items()]
    alike = [
        f"{modality} ({cosine:.2f})"
        for modality, cosine in strongest.modality_similarity.items()
        if cosine is not None and cosine >= ALIKE
    ]
    links = [f"share {', '.join(shared)}"] if shared else []
    links += [f"are alike in {' and '.join(alike)}"] if alike else []
    if not links:
        return f"{beginning} It shares no attribute with {names[0]}; people's histories link them."
    return f"{beginning} It and {names[0]} {' and '.join(links)}."


def _quoted(text: str) -> str:
    shortened = text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[: MAX_QUOTED_CHARACTERS - 1]}…"
    return f"“{shortened}”"
