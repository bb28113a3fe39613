"""The quality of POST /recommend: the bundle's own search for each, through the whole service in one process."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import UserHistory
from clairo_core.ranking import DenseHead, DenseHeads, JointRanking
from clairo_core.ranking.history_encoder import RecurrentHistoryEncoder
from clairo_core.serving_points import WITHOUT_GENERATOR, Points, ServingPoint
from clairo_core.storage.growing_rows import GrowingRows
from service.app import open_parts
from service.recommend.recommendations import cache_key
from service.recommend.rules import RulesOfMoment
from service.recommend.wanted import Wanted
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.running_service import running_service
from tests.tiny import plain_sum, tiny_bundle

POINTS: Points = {"fast": WITHOUT_GENERATOR, "balanced": ServingPoint(1, 10), "best": ServingPoint(3, 20)}
AS_MEASURED: dict[str, Any] = {"num_views": None, "num_beams": None}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Generator and dense head, ranked by the sum of their scores."""
    tiny = load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny"))
    assert tiny.item_embeddings is not None
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    content = tiny.item_embeddings.item_embeddings
    head = DenseHead(
        RecurrentHistoryEncoder(8, width=10, max_history_items=6).eval(),
        GrowingRows(random.normal(size=(len(tiny.items), 8)).astype(np.float32)),
        random.normal(size=(content.shape[1], 8)).astype(np.float32),
    )
    # The generator's probabilities weigh enough to show.
    ranking = JointRanking(
        DenseHeads((head,)), {}, plain_sum("generator", "dense", weights=(50.0, 1.0)), tiny.popularity + 1
    )
    return dataclasses.replace(
        tiny,
        manifest=dataclasses.replace(
            tiny.manifest, serving={quality: dataclasses.asdict(point) for quality, point in POINTS.items()}
        ),
        joint_ranking=dataclasses.replace(ranking, mixture_without_generator=plain_sum("dense")),
    )


async def recommend(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_each_quality_is_answered_by_the_bundles_own_search_and_balanced_is_the_default(bundle: Bundle) -> None:
    history = list(bundle.catalogue.item_ids[:3])
    recommender = bundle.recommender("cpu")
    async with running_service(bundle, **AS_MEASURED) as client:
        answers = {quality: await recommend(client, history=history, quality=quality) for quality in POINTS}
        assert (await recommend(client, history=history))["items"] == answers["balanced"]["items"]
        served = (await client.get("/info")).json()
    assert served["qualities"] == {quality: dataclasses.asdict(point) for quality, point in POINTS.items()}
    assert {item["source"] for item in answers["fast"]["items"]} == {"dense"}
    for quality in ("balanced", "best"):
        alone = recommender.with_points(dict.fromkeys(POINTS, POINTS[quality]))
        expected = alone.recommend(UserHistory(tuple(history)), 10).items
        assert [item["item_id"] for item in answers[quality]["items"]] == [item.item_id for item in expected]
        assert [item["score"] for item in answers[quality]["items"]] == pytest.approx([item.score for item in expected])
    assert answers["balanced"]["items"] != answers["best"]["items"]


async def test_an_explanation_takes_the_quality_of_its_request(bundle: Bundle) -> None:
    history = list(bundle.catalogue.item_ids[:3])
    async with running_service(bundle, **AS_MEASURED) as client:
        fast, best = [
            (await recommend(client, history=history, quality=quality, explain=True, limit=3))["items"]
            for quality in ("fast", "best")
        ]
    for items in (fast, best):
        assert all(item["explanation"]["text"] for item in items)
    effects = [
        [reason["effect"] for item in items for reason in item["explanation"]["because_of"]] for items in (fast, best)
    ]
    assert effects[0] != effects[1]


async def test_an_unknown_quality_is_a_422_that_names_the_three(bundle: Bundle) -> None:
    async with running_service(bundle, **AS_MEASURED) as client:
        refused = await client.post("/recommend", json={"history": [], "quality": "perfect"})
        several = [{"history": [], "quality": quality} for quality in ("perfect", "fast")]
        together = (await client.post("/recommend/batch", json={"requests": several})).json()["results"]
    assert refused.status_code == 422
    assert "'fast', 'balanced' or 'best'" in refused.text
    assert together[0]["problem"]["status"] == 422
    assert together[1]["recommendation"]["items"]


async def test_a_flag_overrides_every_quality_and_the_log_says_what_was_measured(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="service.serving"):
        async with running_service(bundle, **AS_MEASURED):
            assert not caplog.records
        async with running_service(bundle, num_views=None, num_beams=7) as client:
            served = (await client.get("/info")).json()["qualities"]
    assert served == {quality: {"num_views": 1, "num_beams": 7} for quality in POINTS}
    (line,) = [record.getMessage() for record in caplog.records if record.name == "service.serving"]
    assert line == (
        f"bundle {bundle.manifest.bundle_id} is not served as it was measured: num_views and num_beams set "
        "fast 1 x 7, balanced 1 x 7, best 1 x 7, its manifest has fast without generator, balanced 1 x 10, best 3 x 20"
    )


class CountingMetrics(Metrics):
    """Counts the requests that went through the model."""

    num_generated = 0

    def count_batch(self, waited_seconds: Sequence[float], generate_seconds: float) -> None:
        self.num_generated += len(waited_seconds)


async def test_every_search_is_warmed_up_alone_and_the_default_in_a_full_batch(bundle: Bundle) -> None:
    counted = []
    for num_beams in (None, 7):
        metrics = CountingMetrics()
        settings = Settings(
            bundle=bundle.folder,
            database_url="sqlite:///:memory:",
            device="cpu",
            num_beams=num_beams,
            max_batch_size=4,
        )
        async with open_parts(settings, bundle, metrics=metrics):
            counted.append(metrics.num_generated)
    assert counted == [3 + 4, 1 + 4]


def test_answers_of_different_searches_have_different_keys() -> None:
    wanted = Wanted(history=UserHistory(("a",)), limit=3)
    keys = {
        cache_key("bundle", (1, 0), point, wanted, 0.0, RulesOfMoment())
        for point in (*POINTS.values(), ServingPoint(1, 20))
    }
    assert len(keys) == 4
