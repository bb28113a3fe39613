"""JSON of recommendations."""

import uuid
from collections.abc import Sequence

from clairo_core.attributes import as_json
from service.recommend.explanations import Explained
from service.recommend.recommended import Recommended
from service.routes.items import item_summary
from service.schemas.items import Feature
from service.schemas.merchandising import ItemField
from service.schemas.recommend import ExplainedBy, Explanation, RecommendAnswer, RecommendedItem


def recommend_answer(recommended: Recommended, fields: Sequence[ItemField], next_cursor: str | None) -> RecommendAnswer:
    """An answer as JSON for clients, with these fields of each item."""
    items, shown = recommended.answer.items, set[str](fields)
    explanations = recommended.explanations or [None] * len(items)
    return RecommendAnswer(
        recommendation_id=uuid.uuid4().hex,
        bundle_id=recommended.bundle_id,
        catalogue_version=recommended.catalogue_version,
        seed=recommended.seed,
        fallback_reason=recommended.answer.fallback_reason,
        ignored_item_ids=list(recommended.ignored_item_ids),
        unknown_item_ids=list(recommended.unknown_item_ids),
        warnings=list(recommended.warnings),
        next_cursor=next_cursor,
        items=[
            RecommendedItem(
                item_id=item.item_id,
                rank=item.rank,
                score=item.score,
                source=item.source,
                rules=list(item.rules),
                explanation=None if explained is None else _explanation(explained),
                **item_summary(served).model_dump(include=shown),
            )
            for item, explained, served in zip(items, explanations, recommended.served_items, strict=True)
        ],
    )


def _explanation(explained: Explained) -> Explanation:
    return Explanation(
        text=explained.text,
        because_of=[
            ExplainedBy(
                item_id=reason.item_id,
                title=reason.title,
                effect=reason.effect,
                shared_attributes=as_json(reason.shared_attributes),
                shared_features=[Feature(category=name, value=value) for name, value in reason.shared_features],
                modality_similarity=dict(reason.modality_similarity),
            )
            for reason in explained.because_of
        ],
    )
