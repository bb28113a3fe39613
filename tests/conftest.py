"""Settings and servers for every test."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from tests.postgres_server import PostgresServer

# Models of tests are tiny: a second thread only waits for the first, and eight times as long on a busy machine.
torch.set_num_threads(1)

# Nothing here is timed: on a busy machine the first example of a property compiles, imports or waits.
settings.register_profile("clairo", deadline=None)
settings.load_profile("clairo")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, started when the first test asks for it."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.delete()
