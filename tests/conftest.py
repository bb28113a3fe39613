"""Settings and servers for all tests."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from service.store import schema
from tests import new_databases
from tests.postgres_server import PostgresServer

# Test models are tiny: a second thread only waits, eight times as long on a busy machine.
torch.set_num_threads(1)

# No deadline: the first example of a property may compile or import.
settings.register_profile("clairo", deadline=None)
settings.load_profile("clairo")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, started for the first test that needs it."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.delete()


@pytest.fixture(scope="session", autouse=True)
def _quick_new_databases() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(schema, "bring_up_to_date", new_databases.bring_up_to_date)
        yield
