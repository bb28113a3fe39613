"""Generated requests for every operation of the OpenAPI document: no 500, nothing undeclared, nothing off schema.

Requests carry a key, which also checks that none is answered without one. `SCHEMATHESIS_CASES` is the most requests
per operation: a few in `make test`, 350 in CI and `make soak`, thirteen thousand in total (1,000 made 37,846).
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
from service.routes.bulk import MEDIA_TYPES
from service.settings import Settings
from tests.running_service import running_process
from tests.tiny import tiny_bundle

NUM_CASES = int(os.environ.get("SCHEMATHESIS_CASES", "5"))

# A body off schema may also be too large to be read: 413, which is not among the default's refusals.
refusals = {"checks": {"negative_data_rejection": {"expected-statuses": ["4xx", "5xx"]}}}
# Tests are generated from the document, which does not depend on the bundle. Requests go to a real server.
schema = schemathesis.openapi.from_dict(
    create_app(Settings(bundle=Path("not-loaded"))).openapi(), config=schemathesis.Config.from_dict(refusals)
)

# Checks that are wrong about one operation, and why.
EXCLUDED_CHECKS: dict[str, list[Any]] = {
    # A cursor is opaque: any text fits the schema, but only issued cursors are accepted.
    "GET /items": [positive_data_acceptance],
    "GET /jobs/{job_id}": [positive_data_acceptance],
    "GET /users": [positive_data_acceptance],
    "GET /users/{user_id}": [positive_data_acceptance],
    # A session may be another user's already, and an event must have been sent. GET /users/a/merge is another user's.
    "POST /users/{user_id}/merge": [positive_data_acceptance, unsupported_method, allow_header_conformance],
    "DELETE /feedback/{event_id}": [positive_data_acceptance],
    # A filter has one operator; timestamps are on all entries or none; each rank has one pin.
    "POST /recommend": [positive_data_acceptance],
    "PUT /placements/{name}": [positive_data_acceptance],
    "POST /placements/{name}/preview": [positive_data_acceptance],
    # PUT /items/a/similar is the PUT of an item with a reserved id: 422, and PUT is in Allow. The filter is JSON in a
    # string.
    "GET /items/{item_id}/similar": [positive_data_acceptance, unsupported_method, allow_header_conformance],
    "GET /items/{item_id}/bought-together": [positive_data_acceptance, unsupported_method, allow_header_conformance],
    # The filter is JSON in a string, or has one operator.
    "GET /popular": [positive_data_acceptance],
    "GET /trending": [positive_data_acceptance],
    "GET /latest": [positive_data_acceptance],
    "POST /complements": [positive_data_acceptance],
    # Other methods at this path are calls about a user whose id ends in /buy-again.
    "GET /users/{user_id}/buy-again": [positive_data_acceptance, unsupported_method, allow_header_conformance],
    "GET /items/{item_id}/picture": [unsupported_method, allow_header_conformance],
    # An id must fit into a url, a picture must decode, and words or a picture are required.
    "POST /items": [positive_data_acceptance],
    "PUT /items/{item_id}": [positive_data_acceptance],
    # Ids of the catalogue, one type per attribute, something left of the item; and as for PUT.
    "PATCH /items/{item_id}": [positive_data_acceptance],
    "PATCH /items": [positive_data_acceptance],
    "PATCH /items/bulk": [
        positive_data_acceptance,
        negative_data_rejection,
        unsupported_method,
        allow_header_conformance,
    ],
    # Items may have values of another type.
    "PUT /schema": [positive_data_acceptance],
    # At least one line is not blank; the job reports invalid lines. PUT: as above.
    "POST /items/bulk": [
        positive_data_acceptance,
        negative_data_rejection,
        unsupported_method,
        allow_header_conformance,
    ],
    # As POST /items/bulk; DELETE /feedback/bulk is the DELETE of an event.
    "POST /feedback/bulk": [
        positive_data_acceptance,
        negative_data_rejection,
        unsupported_method,
        allow_header_conformance,
    ],
    # GET /bundles/rollback is the GET of a bundle.
    "POST /bundles/rollback": [unsupported_method, allow_header_conformance],
    # An Idempotency-Key used with another body, a type with spaces at the ends.
    "POST /feedback": [positive_data_acceptance],
}


@dataclass(frozen=True)
class OpenedService:
    """A running service and an admin key."""

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


@schemathesis.serializer(*MEDIA_TYPES)
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


def test_enough_requests_were_made(service: OpenedService) -> None:
    """For 29 operations, some with several kinds of request: at least ten thousand in CI, with 350 per operation."""
    families = text_string_to_metric_families(httpx.get(f"{service.url}/metrics", timeout=60).text)
    samples = [sample for family in families for sample in family.samples]
    counts = [sample.value for sample in samples if sample.name == "clairo_request_duration_seconds_count"]
    print(f"{sum(counts):,.0f} requests")
    assert sum(counts) >= 30 * NUM_CASES
