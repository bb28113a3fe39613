"""A shop's traffic at up to twice the capacity, then one fault after another under load; `make soak` runs for longer.

Asserts the musts of `benchmarks.shop.load` and `benchmarks.shop.faults`: nothing acknowledged is lost, no answer is
wrong or undeclared, and no request fails without a fault that excuses it.
"""

from collections.abc import Iterator, Sequence

import pytest

from benchmarks.report import Row
from benchmarks.shop.faults import measured_faults
from benchmarks.shop.load import measured_load
from benchmarks.shop.run_on_shop import Times, measured_on
from benchmarks.shop.running_shop import Shop, running_shop
from benchmarks.shop.traffic import Kind

CAPACITY_SECONDS = 1.0
LEVEL_SECONDS = 1.5
FAULT_SECONDS = 1.0
# On a busy machine, late is not wrong.
SETTINGS = {"num_views": 2, "num_beams": 20, "request_deadline_seconds": 30.0}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with running_shop(tmp_path_factory.mktemp("shop"), can_set_clock=True, **SETTINGS) as shop:
        yield shop


def missed(rows: Sequence[Row]) -> list[str]:
    return [f"{row.name}: {row.value:g} {row.unit}, must {row.must:g}" for row in rows if row.verdict == "missed"]


def test_at_half_full_and_twice_capacity_no_request_fails_and_no_accepted_item_is_lost(shop: Shop) -> None:
    rows, clients = measured_on(shop, measured_load, Times(CAPACITY_SECONDS, LEVEL_SECONDS), "load")
    assert missed(rows) == []
    assert {answer.kind for answer in clients.answers if answer.is_good} == set(Kind)


def test_faults_fail_no_more_than_they_must_and_lose_nothing(shop: Shop) -> None:
    rows, _ = measured_on(shop, measured_faults, Times(CAPACITY_SECONDS, FAULT_SECONDS), "faults")
    assert missed(rows) == []
