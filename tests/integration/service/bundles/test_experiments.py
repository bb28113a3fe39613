"""An experiment over two bundles, through the whole service: who is answered by which, and what came of it."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import SettingsError
from service.bundles.experiments import Arm, Outcomes, Split, parsed_experiment
from service.errors import UnknownBundleError
from service.routes.parts import Readiness
from tests.fake_feedback import FakeFeedback
from tests.running_service import running_service
from tests.tiny import tiny_bundle

USERS = [f"user-{number}" for number in range(12)]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    folder: Path = tmp_path_factory.mktemp("bundles")
    return load_bundle(tiny_bundle(folder / "first")), load_bundle(tiny_bundle(folder / "second", seed=1))


@pytest.fixture
async def client(bundles: tuple[Bundle, Bundle]) -> AsyncIterator[httpx.AsyncClient]:
    experiment = f"second:0.5:{bundles[1].manifest.bundle_id}"
    async with running_service(bundles[0], experiment=experiment) as client:
        yield client


def readiness_of(client: httpx.AsyncClient) -> Readiness:
    return client._transport.app.state.readiness  # type: ignore[attr-defined,no-any-return]


async def test_each_user_is_answered_by_the_bundle_of_their_arm(
    client: httpx.AsyncClient, bundles: tuple[Bundle, Bundle]
) -> None:
    experiment = parsed_experiment(f"second:0.5:{bundles[1].manifest.bundle_id}")
    ids = {Arm.CONTROL: bundles[0].manifest.bundle_id, Arm.TREATMENT: bundles[1].manifest.bundle_id}
    assert {experiment.arm_of(user) for user in USERS} == set(Arm)
    for user in USERS:
        answer = (await client.post("/recommend", json={"history": ["item-1"], "user_id": user})).json()
        assert answer["bundle_id"] == ids[experiment.arm_of(user)]
        assert answer["recommendation_id"].endswith(f".second.{experiment.arm_of(user)}")
    nobody = (await client.post("/recommend", json={"history": ["item-1"]})).json()
    assert nobody["bundle_id"] == ids[Arm.CONTROL]
    assert "." not in nobody["recommendation_id"]
    (told,) = (await client.get("/experiments")).json()["experiments"]
    served = {arm["arm"]: arm["num_served"] for arm in told["arms"]}
    assert served == {arm: [experiment.arm_of(user) for user in USERS].count(arm) for arm in Arm}
    assert {arm["arm"]: arm["bundle_id"] for arm in told["arms"]} == ids
    assert all(arm["hit_rate"] is None for arm in told["arms"])


async def test_feedback_with_a_recommendation_id_moves_its_arm(client: httpx.AsyncClient) -> None:
    readiness, feedback = readiness_of(client), FakeFeedback()
    assert readiness.parts is not None
    assert readiness.parts.split is not None
    split = readiness.parts.split
    told_of = Split(split.experiment, split.treatment, Outcomes(split.experiment, feedback))
    readiness.parts = dataclasses.replace(readiness.parts, split=told_of)
    body = {"requests": [{"history": ["item-1"], "user_id": user} for user in USERS]}
    results = (await client.post("/recommend/batch", json=body)).json()["results"]
    for place, result in enumerate(results):
        feedback.tell("impression", result["recommendation"]["recommendation_id"])
        if place < 6:
            feedback.tell("click", result["recommendation"]["recommendation_id"])
    arms = (await client.get("/experiments")).json()["experiments"][0]["arms"]
    assert sum(arm["num_shown"] for arm in arms) == 12
    assert sum(arm["num_hit"] for arm in arms) == 6
    for arm in arms:
        assert arm["hit_rate"] == pytest.approx(arm["num_hit"] / arm["num_shown"])
        low, high = arm["hit_rate_interval"]
        assert 0 <= low <= arm["hit_rate"] <= high <= 1


async def test_a_posted_item_reaches_both_arms(client: httpx.AsyncClient) -> None:
    posted = {"item_id": "new", "title": "A mug", "attributes": {"category": "mug"}}
    assert (await client.post("/items", json=posted)).status_code == 201
    await asyncio.sleep(1.6)
    for user in USERS[:6]:
        body = {"history": ["item-1"], "user_id": user, "filter": {"only_new": True}}
        answer = (await client.post("/recommend", json=body)).json()
        assert [item["item_id"] for item in answer["items"]] == ["new"], answer


async def test_without_an_experiment_there_is_none_to_see(bundles: tuple[Bundle, Bundle]) -> None:
    async with running_service(bundles[0]) as client:
        assert (await client.get("/experiments")).json() == {"experiments": []}
        answer = (await client.post("/recommend", json={"history": [], "user_id": "u"})).json()
        assert "." not in answer["recommendation_id"]


async def test_an_experiment_that_cannot_be_is_refused_at_the_start(bundles: tuple[Bundle, Bundle]) -> None:
    first, second = (bundle.manifest.bundle_id for bundle in bundles)
    for experiment, expected in (
        ("second:0.5:nowhere", UnknownBundleError),
        (f"second:2:{second}", SettingsError),
        (f"second:0.5:{first}", SettingsError),
    ):
        with pytest.raises(expected):
            async with running_service(bundles[0], experiment=experiment):
                pass
