"""Experiments in every kind of database: one runs at a time, each name once."""

import asyncio

import pytest

from service.errors import ExperimentConflictError
from service.store.database import Database
from service.store.experiments import ExperimentStore


async def test_one_experiment_runs_at_a_time_and_each_name_once(database: Database) -> None:
    store = ExperimentStore(database)
    assert await store.newest() is None
    started = [store.start(name, 0.5, "second", "first") for name in ("a", "b", "c")]
    refused = [outcome for outcome in await asyncio.gather(*started, return_exceptions=True) if outcome is not None]
    assert [type(outcome) for outcome in refused] == [ExperimentConflictError] * 2
    running = await store.newest()
    assert running is not None
    assert (running.share, running.bundle_id, running.control_bundle_id, running.ended_at) == (
        0.5,
        "second",
        "first",
        None,
    )
    for _ in range(2):
        await store.end(running.name)
    ended = await store.newest()
    assert ended is not None
    assert ended.ended_at is not None
    assert ended.ended_at >= ended.started_at
    with pytest.raises(ExperimentConflictError, match="choose another name"):
        await store.start(running.name, 0.1, "third", "first")
    await store.start("next", 0.1, "third", "first")
    assert (await store.newest() or running).name == "next"
