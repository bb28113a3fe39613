"""The client repeats a call that was answered 503: events that the service may have stored keep their ids."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from clairo_client import CLAIRO, UnavailableError
from clairo_client import clients as client_module

CLICK = {"user_id": "ann", "item_id": "mug-1", "type": "click"}


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_WAIT_SECONDS", 0.0)


def sent_by(send: Callable[[CLAIRO], object]) -> list[list[dict[str, Any]]]:
    """The events of each attempt at a service that answers 503."""
    attempts: list[list[dict[str, Any]]] = []

    def refuse(request: httpx2.Request) -> httpx2.Response:
        is_packed = request.headers.get("content-encoding") == "gzip"
        text = gzip.decompress(request.content) if is_packed else request.content
        lines = [json.loads(line) for line in text.splitlines()]
        attempts.append(lines if is_packed else lines[0]["events"])
        return httpx2.Response(503)

    with (
        CLAIRO("http://service", max_attempts=2, transport=httpx2.MockTransport(refuse)) as client,
        pytest.raises(UnavailableError),
    ):
        send(client)
    return attempts


@pytest.mark.parametrize("name", ["add_feedback", "add_feedback_lines"])
def test_events_without_id_and_time_have_the_same_ids_in_each_attempt_and_others_in_each_call(name: str) -> None:
    first, second = sent_by(lambda client: getattr(client, name)([CLICK, CLICK]))
    assert first == second
    again, _ = sent_by(lambda client: getattr(client, name)([CLICK, CLICK]))
    assert len({event["event_id"] for event in first + again}) == 4


@pytest.mark.parametrize("name", ["add_feedback", "add_feedback_lines"])
def test_events_with_an_id_or_a_time_or_under_a_key_are_sent_as_they_are(name: str) -> None:
    dated = [CLICK | {"timestamp": 1.7e9}, CLICK | {"event_id": "order-1"}]
    assert sent_by(lambda client: getattr(client, name)(dated)) == [dated, dated]
    under_key = sent_by(lambda client: getattr(client, name)([CLICK], idempotency_key="k"))
    assert under_key == [[CLICK], [CLICK]]
