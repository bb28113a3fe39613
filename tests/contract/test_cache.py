"""One suite for every cache: the fake that tests may use, the process's memory, a real Redis, and both in layers."""

from collections.abc import AsyncIterator, Iterator

import pytest

from service.recommend.cache import Cache, InProcessCache
from service.recommend.redis_cache import LayeredCache, RedisCache
from service.replicas.redis_link import RedisLink
from tests.redis_server import RedisProcess, running_redis


class DictionaryCache:
    """A `Cache` that forgets nothing."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.answers.get(key)

    async def put(self, key: str, answer: bytes) -> None:
        self.answers[key] = answer


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with running_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(params=["fake", "in process", "redis", "in process over redis", "in process over a redis gone"])
async def cache(request: pytest.FixtureRequest, redis: RedisProcess) -> AsyncIterator[Cache]:
    link = RedisLink("redis://127.0.0.1:1/0" if request.param.endswith("gone") else redis.url)
    shared = RedisCache(link, f"{request.node.name}:", ttl_seconds=60)
    caches: dict[str, Cache] = {
        "fake": DictionaryCache(),
        "in process": InProcessCache(max_entries=100),
        "redis": shared,
    }
    yield caches.get(request.param, LayeredCache(InProcessCache(max_entries=100), shared))
    await link.close()


async def test_what_was_never_kept_is_none(cache: Cache) -> None:
    assert await cache.get("unheard of") is None


async def test_an_answer_comes_back_byte_for_byte(cache: Cache) -> None:
    await cache.put("key", b'{"items": ["\xc3\xa4"]}')
    assert await cache.get("key") == b'{"items": ["\xc3\xa4"]}'


async def test_the_answer_kept_last_counts(cache: Cache) -> None:
    await cache.put("twice", b"first")
    await cache.put("twice", b"second")
    assert await cache.get("twice") == b"second"


async def test_an_empty_answer_is_an_answer(cache: Cache) -> None:
    await cache.put("empty", b"")
    assert await cache.get("empty") == b""
