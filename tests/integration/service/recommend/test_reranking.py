"""Diversity and exploration in POST /recommend."""

from typing import Any

import httpx
import numpy as np
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.selection.diversity import cosine_similarities, intra_list_distance
from tests.running_service import running_service

HISTORY = ["item-3", "item-8"]


async def recommended(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    answer = await client.post("/recommend", json={"history": HISTORY} | request)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def ids_of(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def distance_of(bundle: Bundle, answer: dict[str, Any]) -> float:
    assert bundle.item_embeddings is not None
    rows = [bundle.catalogue.row_of(item_id) for item_id in ids_of(answer)]
    return intra_list_distance(cosine_similarities(bundle.item_embeddings.item_embeddings[rows]))


async def test_no_diversity_leaves_the_list_unchanged(client: httpx.AsyncClient) -> None:
    plain = await recommended(client)
    assert (await recommended(client, diversity=0))["items"] == plain["items"]
    scores = [item["score"] for item in plain["items"]]
    assert scores == sorted(scores, reverse=True)


async def test_the_more_diversity_the_less_alike_the_items(client: httpx.AsyncClient, bundle: Bundle) -> None:
    answers = [await recommended(client, diversity=diversity) for diversity in (0.0, 0.5, 1.0)]
    distances = [distance_of(bundle, answer) for answer in answers]
    assert distances[0] < distances[1] <= distances[2]
    for answer in answers:
        assert len(set(ids_of(answer))) == 10
        assert ids_of(answer)[0] == ids_of(answers[0])[0]
        assert [item["rank"] for item in answer["items"]] == list(range(1, 11))
        assert not set(ids_of(answer)) & set(HISTORY)
        assert answer["fallback_reason"] is None


async def test_scores_stay_those_of_the_model(client: httpx.AsyncClient) -> None:
    of_model = {item["item_id"]: item["score"] for item in (await recommended(client, limit=50))["items"]}
    for item in (await recommended(client, diversity=0.7))["items"]:
        assert item["score"] == pytest.approx(of_model[item["item_id"]], abs=1e-5)


async def test_a_limit_beyond_the_catalogue_is_reported_with_diversity_too(client: httpx.AsyncClient) -> None:
    answer = await recommended(client, diversity=0.5, limit=100)
    assert len(set(ids_of(answer))) == 58
    assert answer["fallback_reason"] == "catalogue_exhausted"
    assert (await recommended(client, diversity=0.5, limit=58))["fallback_reason"] is None


async def test_the_popular_items_can_be_diverse_too(client: httpx.AsyncClient, bundle: Bundle) -> None:
    plain = await recommended(client, history=[])
    diverse = await recommended(client, history=[], diversity=0.9)
    assert distance_of(bundle, diverse) > distance_of(bundle, plain)
    assert diverse["fallback_reason"] == "empty_history"


async def test_without_a_temperature_answers_are_deterministic(client: httpx.AsyncClient) -> None:
    assert (await recommended(client))["items"] == (await recommended(client))["items"]


async def test_exploration_draws_other_items_per_seed_and_the_same_for_the_same_seed(bundle: Bundle) -> None:
    async with running_service(bundle, exploration_temperature=1.0) as client:
        first = await recommended(client, seed=1)
        assert (await recommended(client, seed=1))["items"] == first["items"]
        drawn = [tuple(ids_of(await recommended(client, seed=seed))) for seed in range(8)]
        assert len(set(drawn)) > 1
        assert all(len(set(items)) == 10 and not set(items) & set(HISTORY) for items in drawn)
        # Without a seed each answer draws one and reports it.
        answers = [await recommended(client) for _ in range(4)]
        assert len({answer["seed"] for answer in answers}) == 4
        again = await recommended(client, seed=answers[0]["seed"])
        assert again["items"] == answers[0]["items"]


async def test_probable_items_are_drawn_more_often(bundle: Bundle) -> None:
    async with running_service(bundle) as client:
        best = ids_of(await recommended(client, limit=50, seed=1))
    async with running_service(bundle, exploration_temperature=0.3) as client:
        places = [best.index(ids_of(await recommended(client, limit=1, seed=seed))[0]) for seed in range(30)]
    assert np.mean(places) < 24.5
