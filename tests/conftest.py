"""Settings and servers for all tests."""

import gc
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from service.store import schema
from tests import new_databases
from tests.fresh_processes import FEW_ANSWERS
from tests.postgres_server import PostgresServer
from training.evaluation import answer_times

# Test models are tiny: a second thread only waits, eight times as long on a busy machine.
torch.set_num_threads(1)

# No deadline: the first example of a property may compile or import.
settings.register_profile("clairo", deadline=None)
settings.load_profile("clairo")


def pytest_collection_finish() -> None:
    """Imports and tests outlast every test: collections need not look through them again."""
    gc.collect()
    gc.freeze()


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
def _less_of_the_same() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        # Forty made a fifth of a small training.
        patched.setattr(answer_times, "ANSWERS_TIMED", FEW_ANSWERS)
        patched.setattr(schema, "bring_up_to_date", new_databases.bring_up_to_date)
        yield
