"""Each operation of the service as a request to send and a way to read its answer; nothing here touches a network.

One function an operation, named as the OpenAPI document names it. What clients of either kind share is here, so that
they cannot differ. Knows paths and fields; knows nothing of connections or of trying again.
"""

from service.client.calls.call import Call
from service.client.calls.items import (
    NewItem,
    create_item,
    create_items,
    get_item,
    get_item_picture,
    get_job,
    list_items,
    put_item,
    retire_item,
)
from service.client.calls.operator import (
    activate_bundle,
    check_live,
    check_ready,
    get_info,
    get_metrics,
    list_bundles,
    list_experiments,
)
from service.client.calls.recommendations import (
    HistoryEntry,
    RecommendRequest,
    list_similar_items,
    recommend,
    recommend_batch,
)
from service.client.calls.users import FeedbackEvent, add_feedback, forget_user, get_user

__all__ = [
    "Call",
    "FeedbackEvent",
    "HistoryEntry",
    "NewItem",
    "RecommendRequest",
    "activate_bundle",
    "add_feedback",
    "check_live",
    "check_ready",
    "create_item",
    "create_items",
    "forget_user",
    "get_info",
    "get_item",
    "get_item_picture",
    "get_job",
    "get_metrics",
    "get_user",
    "list_bundles",
    "list_experiments",
    "list_items",
    "list_similar_items",
    "put_item",
    "recommend",
    "recommend_batch",
    "retire_item",
]
