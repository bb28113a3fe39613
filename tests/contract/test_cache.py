"""One suite for every cache: the fake, the process's memory, a real Redis, and both in layers."""

import dataclasses
from collections.abc import AsyncIterator, Iterator

import pytest

from clairo_core.recommendation import RecommendationList
from service.recommend.cache import Cache, InProcessCache
from service.recommend.recommended import Recommended, decoded, encoded, size_in_memory
from service.recommend.redis_cache import LayeredCache, RedisCache
from service.replicas.redis_link import RedisLink
from tests.answers import EXPLAINED
from tests.redis_server import RedisProcess, running_redis


class DictionaryCache:
    """A `Cache` that forgets nothing."""

    def __init__(self) -> None:
        self.answers: dict[str, Recommended] = {}

    async def get(self, key: str) -> Recommended | None:
        return self.answers.get(key)

    async def put(self, key: str, answer: Recommended) -> None:
        self.answers[key] = answer


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with running_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(params=["fake", "in process", "redis", "in process over redis", "in process over a redis gone"])
async def cache(request: pytest.FixtureRequest, redis: RedisProcess) -> AsyncIterator[Cache[Recommended]]:
    link = RedisLink("redis://127.0.0.1:1/0" if request.param.endswith("gone") else redis.url)
    shared = RedisCache(link, f"{request.node.name}:", ttl_seconds=60, encode=encoded, decode=decoded)
    caches: dict[str, Cache[Recommended]] = {
        "fake": DictionaryCache(),
        "in process": InProcessCache(max_entries=100, size_of=size_in_memory),
        "redis": shared,
    }
    yield caches.get(request.param, LayeredCache(InProcessCache(max_entries=100, size_of=size_in_memory), shared))
    await link.close()


async def test_a_key_never_kept_is_none(cache: Cache[Recommended]) -> None:
    assert await cache.get("unheard of") is None


async def test_an_answer_comes_back_equal_in_every_part(cache: Cache[Recommended]) -> None:
    await cache.put("key", EXPLAINED)
    assert await cache.get("key") == EXPLAINED


async def test_the_answer_kept_last_counts(cache: Cache[Recommended]) -> None:
    await cache.put("twice", EXPLAINED)
    await cache.put("twice", dataclasses.replace(EXPLAINED, seed=8))
    assert await cache.get("twice") == dataclasses.replace(EXPLAINED, seed=8)


async def test_an_answer_without_items_is_an_answer(cache: Cache[Recommended]) -> None:
    empty = dataclasses.replace(EXPLAINED, answer=RecommendationList((), "filter_exhausted"), explanations=())
    await cache.put("empty", empty)
    assert await cache.get("empty") == empty
