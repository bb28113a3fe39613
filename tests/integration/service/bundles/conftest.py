"""What tests of bundles share."""

from pathlib import Path

import pytest

from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles of one shop."""
    folder = tmp_path_factory.mktemp("bundles")
    tiny_bundle(folder / "first", num_items=40)
    tiny_bundle(folder / "second", num_items=40, seed=1)
    return folder
