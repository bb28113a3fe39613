"""Every operation of the service as a `Call`: a request and a parser of its answer. Nothing here uses the network.

One function per operation, named by its operationId in the OpenAPI document. The sync and the async client share
them, so they cannot differ.
"""

from clairo_client.calls.behaviour import (
    list_complements,
    list_items_bought_together,
    list_items_to_buy_again,
    list_latest_items,
    list_popular_items,
    list_trending_items,
)
from clairo_client.calls.call import Call
from clairo_client.calls.items import (
    NewItem,
    create_item,
    create_items,
    get_item,
    get_item_picture,
    get_job,
    get_schema,
    list_items,
    patch_item,
    patch_item_lines,
    patch_items,
    put_item,
    put_schema,
    retire_item,
)
from clairo_client.calls.operator import (
    activate_bundle,
    check_live,
    check_ready,
    get_info,
    get_metrics,
    list_bundles,
    list_experiments,
    roll_back_bundle,
)
from clairo_client.calls.recommendations import (
    HistoryEntry,
    RecommendRequest,
    list_similar_items,
    recommend,
    recommend_batch,
)
from clairo_client.calls.users import (
    FeedbackEvent,
    add_feedback,
    add_feedback_lines,
    forget_user,
    get_user,
    list_users,
    merge_session,
    remove_event,
)

__all__ = [
    "Call",
    "FeedbackEvent",
    "HistoryEntry",
    "NewItem",
    "RecommendRequest",
    "activate_bundle",
    "add_feedback",
    "add_feedback_lines",
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
    "get_schema",
    "get_user",
    "list_bundles",
    "list_complements",
    "list_experiments",
    "list_items",
    "list_items_bought_together",
    "list_items_to_buy_again",
    "list_latest_items",
    "list_popular_items",
    "list_similar_items",
    "list_trending_items",
    "list_users",
    "merge_session",
    "patch_item",
    "patch_item_lines",
    "patch_items",
    "put_item",
    "put_schema",
    "recommend",
    "recommend_batch",
    "remove_event",
    "retire_item",
    "roll_back_bundle",
]
