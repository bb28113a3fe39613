"""An experiment over two bundles, through the whole service: arms, outcomes, and its end."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.errors import SettingsError
from clairo_core.events import EventType, InteractionRules
from service.app import open_parts
from service.bundles.experiment import Arm, parsed_experiment
from service.bundles.outcomes import Outcomes
from service.errors import UnknownBundleError
from service.routes.parts import Readiness
from service.settings import Settings
from service.telemetry.metrics import Metrics
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
    (shown,) = (await client.get("/experiments")).json()["experiments"]
    served = {arm["arm"]: arm["num_served"] for arm in shown["arms"]}
    assert served == {arm: [experiment.arm_of(user) for user in USERS].count(arm) for arm in Arm}
    assert {arm["arm"]: arm["bundle_id"] for arm in shown["arms"]} == ids
    assert all(arm["hit_rate"] is None for arm in shown["arms"])


async def test_either_bundle_can_be_asked_by_name_and_counts_in_no_arm(
    client: httpx.AsyncClient, bundles: tuple[Bundle, Bundle]
) -> None:
    ids = [bundle.manifest.bundle_id for bundle in bundles]
    assert (await client.get("/info")).json()["answering_bundle_ids"] == ids
    for bundle_id in ids:
        body = {"history": ["item-1"], "user_id": USERS[0], "bundle_id": bundle_id}
        answer = (await client.post("/recommend", json=body)).json()
        assert answer["bundle_id"] == bundle_id
        assert "." not in answer["recommendation_id"]
    (shown,) = (await client.get("/experiments")).json()["experiments"]
    assert [arm["num_served"] for arm in shown["arms"]] == [0, 0]


async def test_a_bundle_that_does_not_answer_is_refused_by_name(
    client: httpx.AsyncClient, bundles: tuple[Bundle, Bundle]
) -> None:
    answer = await client.post("/recommend", json={"history": ["item-1"], "bundle_id": "nowhere"})
    assert answer.status_code == 422
    ids = " or ".join(bundle.manifest.bundle_id for bundle in bundles)
    assert answer.json()["detail"] == (
        f"body -> bundle_id: got 'nowhere', expected {ids}; serve it, or compare it in an experiment"
    )


async def test_feedback_with_a_recommendation_id_counts_for_its_arm(client: httpx.AsyncClient) -> None:
    readiness, feedback = readiness_of(client), FakeFeedback()
    assert readiness.parts is not None
    assert readiness.parts.split is not None
    split = readiness.parts.split
    split.outcomes = Outcomes(split.experiment, feedback, InteractionRules)
    body = {"requests": [{"history": ["item-1"], "user_id": user} for user in USERS]}
    results = (await client.post("/recommend/batch", json=body)).json()["results"]
    for place, result in enumerate(results):
        feedback.add("impression", result["recommendation"]["recommendation_id"])
        if place < 6:
            feedback.add("click", result["recommendation"]["recommendation_id"])
    arms = (await client.get("/experiments")).json()["experiments"][0]["arms"]
    assert sum(arm["num_shown"] for arm in arms) == 12
    assert sum(arm["num_hit"] for arm in arms) == 6
    for arm in arms:
        assert arm["hit_rate"] == pytest.approx(arm["num_hit"] / arm["num_shown"])
        low, high = arm["hit_rate_interval"]
        assert 0 <= low <= arm["hit_rate"] <= high <= 1


async def test_hits_are_read_by_the_rules_of_the_served_bundle(tmp_path: Path) -> None:
    """The experiment's own rules call the view positive; the served bundle's ignore it."""
    rules = InteractionRules(types={"purchase": EventType(), "view": EventType(meaning="ignored")})
    first = load_bundle(tiny_bundle(tmp_path / "first", rules=rules))
    second = read_manifest(tiny_bundle(tmp_path / "second", seed=1)).bundle_id
    async with running_service(first, experiment=f"second:0.5:{second}") as client:
        for number, kind in enumerate(("purchase", "view", "view")):
            body = {"history": ["item-1"], "user_id": f"user-{number}"}
            recommendation_id = (await client.post("/recommend", json=body)).json()["recommendation_id"]
            about = {"user_id": "ann", "item_id": "item-1", "recommendation_id": recommendation_id}
            events = [about | {"type": "impression"}, about | {"type": kind}]
            assert (await client.post("/feedback", json={"events": events})).status_code == 200
        arms = (await experiment_of(client))["arms"]
        assert [sum(arm[count] for arm in arms) for count in ("num_shown", "num_hit")] == [3, 1]


async def test_a_posted_item_reaches_both_arms(client: httpx.AsyncClient) -> None:
    posted = {"item_id": "new", "title": "A mug", "attributes": {"category": "mug"}}
    assert (await client.post("/items", json=posted)).status_code == 201
    await asyncio.sleep(1.6)
    for user in USERS[:6]:
        body = {"history": ["item-1"], "user_id": user, "filter": {"only_new": True}}
        answer = (await client.post("/recommend", json=body)).json()
        assert [item["item_id"] for item in answer["items"]] == ["new"], answer


async def test_without_an_experiment_the_list_is_empty(bundles: tuple[Bundle, Bundle]) -> None:
    async with running_service(bundles[0]) as client:
        assert (await client.get("/experiments")).json() == {"experiments": []}
        answer = (await client.post("/recommend", json={"history": [], "user_id": "u"})).json()
        assert "." not in answer["recommendation_id"]


async def test_an_impossible_experiment_is_refused_at_the_start(bundles: tuple[Bundle, Bundle]) -> None:
    first, second = (bundle.manifest.bundle_id for bundle in bundles)
    for experiment, expected in (
        ("second:0.5:nowhere", UnknownBundleError),
        (f"second:2:{second}", SettingsError),
        (f"second:0.5:{first}", SettingsError),
    ):
        with pytest.raises(expected):
            async with running_service(bundles[0], experiment=experiment):
                pass


@pytest.fixture
def folder(bundles: tuple[Bundle, Bundle], tmp_path: Path) -> Path:
    """A shelf with both bundles, and a database beside it that outlives the service."""
    return Path(shutil.copytree(bundles[0].folder.parent, tmp_path / "bundles"))


def serving(folder: Path, **settings: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    second = read_manifest(folder / "second").bundle_id
    chosen = {
        "bundles_dir": folder,
        "database_url": f"sqlite:///{folder.parent / 'clairo.db'}",
        "experiment": f"second:0.5:{second}",
    }
    return running_service(load_bundle(folder / "first"), **chosen | settings)


async def experiment_of(client: httpx.AsyncClient) -> dict[str, Any]:
    (experiment,) = (await client.get("/experiments")).json()["experiments"]
    return experiment  # type: ignore[no-any-return]


async def answered_by(client: httpx.AsyncClient) -> dict[str, bool]:
    """Bundles that answer users, and whether the recommendation id names an arm."""
    bodies = [{"history": ["item-1"], "user_id": user} for user in USERS]
    answers = [(await client.post("/recommend", json=body)).json() for body in bodies]
    return {answer["bundle_id"]: "." in answer["recommendation_id"] for answer in answers}


async def test_activating_the_treatments_bundle_ends_the_experiment_in_every_process_and_after_a_restart(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (read_manifest(folder / name).bundle_id for name in ("first", "second"))
    async with serving(folder) as one, serving(folder) as other:
        assert (await experiment_of(one))["is_running"] is True
        assert await answered_by(one) == {first: True, second: True}
        activated = await one.post(f"/bundles/{second}/activate", params={"allow_worse": True}, timeout=60)
        assert activated.status_code == 200, activated.text
        assert await answered_by(one) == {second: False}
        ended = await experiment_of(one)
        assert ended["is_running"] is False
        assert [arm["bundle_id"] for arm in ended["arms"]] == [first, second]
        assert sum(arm["num_served"] for arm in ended["arms"]) == len(USERS)
        async with asyncio.timeout(30):
            while (await experiment_of(other))["is_running"]:
                await asyncio.sleep(0.1)
        assert await answered_by(other) == {second: False}
        # Back to the control: an experiment that has ended stays so until the service restarts.
        await one.post(f"/bundles/{first}/activate", params={"allow_worse": True}, timeout=60)
        assert await answered_by(one) == {first: False}
        await one.post(f"/bundles/{second}/activate", params={"allow_worse": True}, timeout=60)
    caplog.clear()
    async with serving(folder) as restarted:
        assert await answered_by(restarted) == {second: False}
        ended = await experiment_of(restarted)
        assert (ended["is_running"], [arm["bundle_id"] for arm in ended["arms"]]) == (False, [first, second])
    assert "experiment second has ended" in caplog.text


async def test_activating_a_third_bundle_replaces_the_control(folder: Path) -> None:
    third = read_manifest(tiny_bundle(folder / "third", seed=2)).bundle_id
    second = read_manifest(folder / "second").bundle_id
    async with serving(folder) as client:
        await client.post(f"/bundles/{third}/activate", params={"allow_worse": True}, timeout=60)
        assert await answered_by(client) == {third: True, second: True}
        experiment = await experiment_of(client)
        assert [arm["bundle_id"] for arm in experiment["arms"]] == [third, second]


async def test_rolling_back_is_refused_while_an_experiment_runs_and_works_once_it_has_ended(folder: Path) -> None:
    first, second = (read_manifest(folder / name).bundle_id for name in ("first", "second"))
    third = read_manifest(tiny_bundle(folder / "third", seed=2)).bundle_id
    async with serving(folder) as client:
        await client.post(f"/bundles/{third}/activate", params={"allow_worse": True}, timeout=60)
        refused = await client.post("/bundles/rollback", timeout=60)
        assert refused.status_code == 409
        assert f"experiment second compares with the served bundle {third}" in refused.json()["detail"]
        assert await answered_by(client) == {third: True, second: True}
        await client.post(f"/bundles/{second}/activate", params={"allow_worse": True}, timeout=60)
        assert (await client.post("/bundles/rollback", timeout=60)).json()["bundle_id"] == third
        assert await answered_by(client) == {third: False}
    # Without the experiment in the settings.
    async with serving(folder, experiment="") as client:
        assert (await client.post("/bundles/rollback", timeout=60)).json()["bundle_id"] == first


class CountingMetrics(Metrics):
    """Counts the requests that went through the model."""

    num_generated = 0

    def count_batch(self, waited_seconds: Sequence[float], generate_seconds: float) -> None:
        self.num_generated += len(waited_seconds)


async def test_the_treatment_is_warmed_up_like_the_served_bundle(bundles: tuple[Bundle, Bundle]) -> None:
    settings = {"database_url": "sqlite:///:memory:", "device": "cpu", "num_views": 1, "max_batch_size": 3}
    experiment = f"second:0.5:{bundles[1].manifest.bundle_id}"
    counted = []
    for chosen in ("", experiment):
        metrics = CountingMetrics()
        async with open_parts(Settings(bundle=bundles[0].folder, experiment=chosen, **settings), metrics=metrics):
            counted.append(metrics.num_generated)
    assert counted == [4, 8]


def started(folder: Path, **sent: Any) -> dict[str, Any]:
    return {"name": "next", "share": 0.5, "bundle_id": read_manifest(folder / "second").bundle_id} | sent


async def test_an_experiment_of_the_api_is_followed_by_other_processes_and_survives_a_restart(folder: Path) -> None:
    first, second = (read_manifest(folder / name).bundle_id for name in ("first", "second"))
    async with serving(folder, experiment="") as one, serving(folder, experiment="") as other:
        answer = await one.post("/experiments", json=started(folder))
        assert (answer.status_code, answer.json()["is_running"], answer.json()["is_in_settings"]) == (201, True, False)
        assert await answered_by(one) == {first: True, second: True}
        async with asyncio.timeout(30):
            while not (await other.get("/experiments")).json()["experiments"]:
                await asyncio.sleep(0.1)
        assert await answered_by(other) == {first: True, second: True}
    async with serving(folder, experiment="") as restarted, serving(folder, experiment="") as other:
        assert await answered_by(restarted) == {first: True, second: True}
        for _ in range(2):
            assert (await restarted.delete("/experiments/next")).status_code == 204
        assert await answered_by(restarted) == {first: False}
        async with asyncio.timeout(30):
            while (await experiment_of(other))["is_running"]:
                await asyncio.sleep(0.1)
        assert [arm["bundle_id"] for arm in (await experiment_of(other))["arms"]] == [first, second]


async def test_activating_the_bundle_of_an_experiment_of_the_api_ends_it_for_good(folder: Path) -> None:
    first, second = (read_manifest(folder / name).bundle_id for name in ("first", "second"))
    async with serving(folder, experiment="") as client:
        await client.post("/experiments", json=started(folder))
        for bundle_id in (second, first):
            await client.post(f"/bundles/{bundle_id}/activate", params={"allow_worse": True}, timeout=60)
        await asyncio.sleep(1.2)
    async with serving(folder, experiment="") as restarted:
        assert (await experiment_of(restarted))["is_running"] is False
        assert await answered_by(restarted) == {first: False}


async def test_an_experiment_that_cannot_be_is_refused_and_nothing_changes(folder: Path) -> None:
    async with serving(folder, experiment="") as client:
        for sent, status, expected in (
            ({"bundle_id": "nowhere"}, 404, "bundle 'nowhere' not found"),
            ({"name": "Next!"}, 422, "name"),
            ({"share": 2}, 422, "share"),
        ):
            refused = await client.post("/experiments", json=started(folder, **sent))
            assert (refused.status_code, expected in refused.text) == (status, True), refused.text
        assert (await client.get("/experiments")).json() == {"experiments": []}


async def test_a_second_experiment_a_used_name_the_served_bundle_and_settings_are_conflicts(folder: Path) -> None:
    first = read_manifest(folder / "first").bundle_id
    async with serving(folder, experiment="") as client:
        assert "is served already" in await conflict(client, started(folder, bundle_id=first))
        await client.post("/experiments", json=started(folder))
        assert "DELETE /experiments/next first" in await conflict(client, started(folder, name="other"))
        await client.delete("/experiments/next")
        assert "choose another name" in await conflict(client, started(folder))
        assert (await client.delete("/experiments/other")).status_code == 404
    async with serving(folder) as client:
        assert "stands in the settings" in await conflict(client, started(folder, name="other"))
        refused = await client.delete("/experiments/second")
        assert (refused.status_code, "stands in the settings" in refused.text) == (409, True)


async def conflict(client: httpx.AsyncClient, sent: dict[str, Any]) -> str:
    refused = await client.post("/experiments", json=sent)
    assert refused.status_code == 409, refused.text
    return str(refused.json()["detail"])
