"""The tiny bundle, and a service of it: what a test needs of its own overrides them."""

from collections.abc import AsyncIterator

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from tests.running_service import running_service
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny"))


@pytest.fixture
async def client(bundle: Bundle) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle) as client:
        yield client
