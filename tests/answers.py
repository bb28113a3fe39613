"""An answer of POST /recommend inside the service, for tests of caches."""

from clairo_core.recommendation import Recommendation, RecommendationList
from service.recommend.explanations import Explained, Reason
from service.recommend.recommended import Recommended

EXPLAINED = Recommended(
    bundle_id="shop-1",
    catalogue_version=3,
    seed=7,
    ignored_item_ids=("unknown-\u00e4",),
    answer=RecommendationList(
        (Recommendation("mug", 1, -0.25, "generative"), Recommendation("jug", 2, -4.0, "popular", ("own-brand",))),
        "catalogue_exhausted",
    ),
    explanations=(
        Explained(
            "Mostly because of \u201ccup\u201d.",
            (Reason("cup", "Cup", 0.5, {"colour": "blue"}, (("codebook-0", 4),), {"text": 0.75, "image": None}),),
        ),
        Explained("A popular product."),
    ),
)
