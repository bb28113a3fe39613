"""Compare a shop's store and workers with the ledger of acknowledged writes."""

from collections.abc import Mapping

import httpx

from benchmarks.report import Row
from benchmarks.shop.clients import ShopClients
from benchmarks.shop.ledger import REFUSED, Ledger
from benchmarks.shop.running_shop import Shop

NUM_SERVED_CHECKED = 200


def audit_rows(shop: Shop, clients: ShopClients) -> list[Row]:
    """Count lost writes, unserved items, and wrong or undeclared answers; all must be 0."""
    shop.wait_for_jobs()
    ledger = clients.ledger
    items = f"FROM items WHERE namespace = 'default' AND item_id LIKE '{ledger.prefix}-%'"
    prices = {row[0]: row[1] for row in shop.rows_of(f"SELECT item_id, attributes->>'price' {items}")}
    ((num_without,),) = shop.rows_of(f"SELECT count(*) {items} AND picture_digest IS NULL")
    changes = f"FROM catalogue_changes WHERE namespace = 'default' AND item_id LIKE '{ledger.prefix}-%'"
    newest = shop.rows_of(f"SELECT DISTINCT ON (item_id) item_id, kind {changes} ORDER BY item_id, version DESC")
    retired = {item_id for item_id, kind in newest if kind == "retired"}
    feedback = f"FROM feedback_events WHERE namespace = 'default' AND event_id LIKE '{ledger.prefix}-%'"
    events = {row[0]: row[1] for row in shop.rows_of(f"SELECT event_id, user_id {feedback}")}
    lost = ledger.lost_in(prices, retired, events)
    wrong = ledger.wrong
    acknowledged = {
        "items": len(ledger.prices),
        "retirements": len(ledger.retired_at),
        "events": len(ledger.events),
        "merges of events": len(ledger.user_of),
    }
    return [
        *(Row(f"acknowledged: {name}", count, "rows", "higher") for name, count in acknowledged.items()),
        *(Row(f"lost: {name}", count, "rows", "lower", 0) for name, count in lost.items() if name != REFUSED),
        # Every item is posted with one, and no request removes it.
        Row("lost: pictures", int(num_without), "pictures", "lower", 0),
        Row(REFUSED, lost[REFUSED], "rows", "lower", 0),
        Row("stored, but not served", num_unserved(shop.service.url, ledger), "items", "lower", 0),
        Row(f"wrong answers{_counted(wrong)}", wrong.total(), "answers", "lower", 0),
        Row(f"undeclared answers{_counted(clients.undeclared)}", clients.undeclared.total(), "answers", "lower", 0),
        Row("tracebacks in the service's log", shop.num_tracebacks(), "errors", "lower", 0),
    ]


def num_unserved(url: str, ledger: Ledger) -> int:
    """Of the newest acknowledged items, count those that a worker lacks; each is asked of a random worker."""
    newest = list(ledger.prices)[-NUM_SERVED_CHECKED:]
    with httpx.Client(base_url=url, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        return sum(client.get(f"/items/{item_id}").status_code != 200 for item_id in newest)


def _counted(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{name}: {count}' for name, count in counts.items())})" if counts else ""
