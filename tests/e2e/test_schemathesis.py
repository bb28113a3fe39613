"""Every operation of the OpenAPI document under generated requests: no 500, nothing undeclared, nothing off schema.

Every check but one: a body that fits the schema may still be refused, because a schema cannot say that timestamps are
on all entries or on none.

`SCHEMATHESIS_CASES` says how many requests an operation gets at most: a few in `make test`, thousands in a soak.
"""

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.running_service import running_process
from tests.tiny import tiny_bundle

NUM_CASES = int(os.environ.get("SCHEMATHESIS_CASES", "15"))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenApiSchema]:
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
    with running_process(bundle, tmp_path_factory.mktemp("data"), "--bundles-dir", str(bundle.parent)) as service:
        yield schemathesis.openapi.from_url(f"{service.url}/openapi.json")


@pytest.mark.timeout(0 if NUM_CASES > 100 else 300)
def test_no_generated_request_breaks_the_contract(api: OpenApiSchema) -> None:
    num_operations = 0
    for result in api.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=NUM_CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def hold(case: schemathesis.Case) -> None:
            case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])

        hold()
        num_operations += 1
    assert num_operations > 10
