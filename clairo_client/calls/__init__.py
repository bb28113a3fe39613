"""Every operation of the service as a `Call`: a request and a parser of its answer. Nothing here uses the network.

One function per operation, named by its operationId in the OpenAPI document. The sync and the async client share
them, so they cannot differ.
"""

from clairo_client.calls.call import Call
from clairo_client.calls.items import (
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
from clairo_client.calls.placements import (
    PlacementRules,
    delete_placement,
    get_placement,
    list_placements,
    preview_placement,
    put_placement,
)
from clairo_client.calls.recommendations import (
    Boost,
    Group,
    HistoryEntry,
    Pin,
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
)

__all__ = [
    "Boost",
    "Call",
    "FeedbackEvent",
    "Group",
    "HistoryEntry",
    "NewItem",
    "Pin",
    "PlacementRules",
    "RecommendRequest",
    "activate_bundle",
    "add_feedback",
    "add_feedback_lines",
    "check_live",
    "check_ready",
    "create_item",
    "create_items",
    "delete_placement",
    "forget_user",
    "get_info",
    "get_item",
    "get_item_picture",
    "get_job",
    "get_metrics",
    "get_placement",
    "get_user",
    "list_bundles",
    "list_experiments",
    "list_items",
    "list_placements",
    "list_similar_items",
    "list_users",
    "preview_placement",
    "put_item",
    "put_placement",
    "recommend",
    "recommend_batch",
    "retire_item",
    "roll_back_bundle",
]
