"""More than the service can do, for a few seconds; `python -m benchmarks.speed.soak` does it for minutes."""

import asyncio
from pathlib import Path

from benchmarks.service.service_process import served_bundle
from benchmarks.speed.random_bundle import different_bodies
from benchmarks.speed.soak import OK, TOO_MANY, soaked
from tests.tiny import tiny_bundle

DEADLINE_SECONDS = 20.0
TIMES_CAPACITY = 5.0
# Slow enough that the service, not this test's clients, is the bottleneck. The queue's length refuses, not the clock:
# beside other tests the machine can be three times slower from one moment to the next.
SETTINGS = {
    "num_views": 32,
    "num_beams": 200,
    "cache_max_entries": 0,
    "max_queue_depth": 16,
    "request_deadline_seconds": DEADLINE_SECONDS,
}


def test_an_overloaded_service_answers_in_time_or_refuses(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", can_ingest=False)
    bodies = different_bodies([[f"item-{row}" for row in range(first, first + 12)] for first in range(40)])
    with served_bundle(bundle, tmp_path / "data", **SETTINGS) as service:
        capacity, load, memory = asyncio.run(soaked(service, bodies, 3.0, 8.0, TIMES_CAPACITY))
    assert {answer.status for answer in load.answers} == {OK, TOO_MANY}
    assert max(answer.seconds for answer in load.answers if answer.status == OK) < DEADLINE_SECONDS
    assert load.per_second > capacity / 5
    assert memory[-1] < 1.2 * memory[len(memory) // 2]
