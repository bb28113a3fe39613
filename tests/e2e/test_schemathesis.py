"""Every operation of the OpenAPI document under generated requests: no 500, nothing undeclared, nothing off schema.

Requests carry a key, so that it is seen as well that none is answered without one. `SCHEMATHESIS_CASES` says how many
requests are drawn for an operation at most: a few in `make test`; 350 in CI and `make soak`, which are thirteen
thousand for all of them together (1,000 were 37,846).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from prometheus_client.parser import text_string_to_metric_families
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)
from typer.testing import CliRunner

from service.app import create_app
from service.cli.commands import app as command_line
from service.settings import Settings
from tests.running_service import running_process
from tests.tiny import tiny_bundle

NUM_CASES = int(os.environ.get("SCHEMATHESIS_CASES", "5"))

# The tests are made from the document, which says the same without a bundle; the requests go to a real server.
schema = schemathesis.openapi.from_dict(create_app(Settings(bundle=Path("not-loaded"))).openapi())

# Checks that are wrong about one operation, and why.
EXCLUDED_CHECKS: dict[str, list[Any]] = {
    # A cursor is opaque: any text has its shape, and only those that we gave out are taken.
    "GET /items": [positive_data_acceptance],
    "GET /jobs/{job_id}": [positive_data_acceptance],
    "GET /users/{user_id}": [positive_data_acceptance],
    # A filter has one operator, and timestamps stand on all entries or none.
    "POST /recommend": [positive_data_acceptance],
    # PUT /items/a/similar is the PUT of an item, by an id that none can have: 422, and PUT is in Allow. The filter is
    # JSON inside of a string.
    "GET /items/{item_id}/similar": [positive_data_acceptance, unsupported_method, allow_header_conformance],
    "GET /items/{item_id}/picture": [unsupported_method, allow_header_conformance],
    # An id can stand in a url, a picture is a picture, and there are words or a picture.
    "POST /items": [positive_data_acceptance],
    "PUT /items/{item_id}": [positive_data_acceptance],
    # One line at least is not blank; what is wrong with the lines, the job says. PUT: as above.
    "POST /items/bulk": [
        positive_data_acceptance,
        negative_data_rejection,
        unsupported_method,
        allow_header_conformance,
    ],
    # An Idempotency-Key that came with another body.
    "POST /feedback": [positive_data_acceptance],
}


@dataclass(frozen=True)
class OpenedService:
    """A running service, and a key to all of it."""

    url: str
    headers: dict[str, str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedService]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    data_dir = tmp_path_factory.mktemp("data")
    made = CliRunner().invoke(
        command_line, ["keys", "create", "--name", "test", "--scope", "admin", "--data-dir", str(data_dir)]
    )
    key = made.stdout.strip()
    with running_process(bundle, data_dir, "--bundles-dir", str(bundle.parent)) as process:
        yield OpenedService(process.url, {"Authorization": f"Bearer {key}"})


@schemathesis.serializer("application/x-ndjson")
def lines_as_they_are(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", errors="surrogatepass")


@pytest.mark.timeout(0 if NUM_CASES > 100 else 300)
@schema.parametrize()
@settings(max_examples=NUM_CASES, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_generated_request_breaks_the_contract(case: schemathesis.Case, service: OpenedService) -> None:
    case.call_and_validate(
        base_url=service.url,
        headers=service.headers,
        excluded_checks=EXCLUDED_CHECKS.get(case.operation.label),
        timeout=60,
    )


def test_thirty_times_as_many_requests_were_made_as_were_drawn_for_an_operation(service: OpenedService) -> None:
    """Of 22 operations, some with more than one kind of request: ten thousand at least in CI, with 350."""
    families = text_string_to_metric_families(httpx.get(f"{service.url}/metrics", timeout=60).text)
    samples = [sample for family in families for sample in family.samples]
    counts = [sample.value for sample in samples if sample.name == "clairo_request_duration_seconds_count"]
    print(f"{sum(counts):,.0f} requests")
    assert sum(counts) >= 30 * NUM_CASES
