"""The service beside a real Redis that is shared, killed and started again."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.errors import SettingsError
from service.recommend.cache import InProcessCache
from service.recommend.redis_cache import MAX_ANSWER_BYTES, LayeredCache, RedisCache
from service.replicas.redis_link import MAX_BACKOFF_SECONDS, RedisLink
from service.settings import Settings, load_settings
from tests.redis_server import RedisProcess, running_redis
from tests.running_service import running_service


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def bytes_cache(link: RedisLink, prefix: str, *, ttl_seconds: float = 60) -> RedisCache[bytes]:
    return RedisCache(link, prefix, ttl_seconds=ttl_seconds, encode=bytes, decode=bytes)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with running_redis(tmp_path) as redis:
        yield redis


async def test_another_process_finds_a_computed_answer(redis: RedisProcess) -> None:
    links = RedisLink(redis.url), RedisLink(redis.url)
    one, other = (LayeredCache(InProcessCache(10, size_of=len), bytes_cache(link, "shop:")) for link in links)
    await one.put("key", b"answer")
    assert await other.get("key") == b"answer"
    for link in links:
        await link.close()


async def test_another_prefix_finds_nothing(redis: RedisProcess) -> None:
    link = RedisLink(redis.url)
    await bytes_cache(link, "shop-a:").put("key", b"answer")
    assert await bytes_cache(link, "shop-b:").get("key") is None
    await link.close()


async def test_an_answer_expires_and_one_too_large_is_not_sent(redis: RedisProcess) -> None:
    link = RedisLink(redis.url)
    cache = bytes_cache(link, "", ttl_seconds=0.05)
    await cache.put("short", b"answer")
    await cache.put("large", b" " * (MAX_ANSWER_BYTES + 1))
    assert await cache.get("short") == b"answer"
    assert await cache.get("large") is None
    await asyncio.sleep(0.1)
    assert await cache.get("short") is None
    await link.close()


async def test_memory_forgets_by_age_and_by_bytes() -> None:
    clock = Clock()
    cache = InProcessCache(100, size_of=len, max_bytes=10, ttl_seconds=60, now=clock)
    await cache.put("a", b"1234")
    await cache.put("b", b"1234")
    await cache.put("c", b"1234")
    assert [await cache.get(key) for key in "abc"] == [None, b"1234", b"1234"]
    await cache.put("c", b"5678")
    assert await cache.get("b") == b"1234"
    clock.seconds = 60
    assert [await cache.get(key) for key in "bc"] == [None, None]
    await cache.put("d", b"12345678901")
    assert await cache.get("d") is None


async def test_a_lost_redis_is_logged_once_skipped_and_used_again(
    redis: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    link = RedisLink(redis.url, now=clock)
    cache = bytes_cache(link, "")
    caplog.set_level(logging.INFO, "clairo.redis")
    await cache.put("key", b"answer")
    redis.kill()
    for _ in range(5):
        assert await cache.get("key") is None
        clock.seconds += MAX_BACKOFF_SECONDS
    assert not link.is_up
    redis.start()
    # The last failure was ten seconds ago: the next call tries, and succeeds.
    await cache.put("key", b"newer")
    assert link.is_up
    assert await cache.get("key") == b"newer"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    await link.close()


async def test_calls_skip_a_redis_that_is_away() -> None:
    clock = Clock()
    link = RedisLink("redis://127.0.0.1:1/0", now=clock)
    attempts = 0

    async def ask(_: object) -> bytes:
        nonlocal attempts
        attempts += 1
        raise ConnectionRefusedError

    for _ in range(10):
        assert await link.attempt(ask) is None
    assert attempts == 1
    clock.seconds = 0.6
    await asyncio.gather(*(link.attempt(ask) for _ in range(10)))
    assert attempts == 2
    await link.close()


async def test_a_silent_redis_costs_a_short_timeout() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = RedisLink(f"redis://127.0.0.1:{port}/0", timeout_seconds=0.05)
    async with asyncio.timeout(2):
        assert await bytes_cache(link, "").get("key") is None
    assert not link.is_up
    await link.close()
    server.close()


async def test_without_redis_the_service_answers_and_is_degraded(bundle: Bundle, redis: RedisProcess) -> None:
    async with running_service(bundle, redis_url=redis.url) as client:
        first = await recommend(client, "item-1")
        assert (await client.get("/health/ready")).json()["status"] == "ready"
        redis.kill()
        assert await recommend(client, "item-1") == first
        assert await recommend(client, "item-2")
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert "Redis" in answer.json()["degraded"][0]
        redis.start()
        async with asyncio.timeout(15):
            while (await client.get("/health/ready")).json()["status"] != "ready":
                await asyncio.sleep(0.1)
        assert await recommend(client, "item-3")


async def test_two_services_share_answers(bundle: Bundle, redis: RedisProcess) -> None:
    async with running_service(bundle, redis_url=redis.url) as one:
        first = await recommend(one, "item-1")
    async with running_service(bundle, redis_url=redis.url) as other:
        assert await recommend(other, "item-1") == first
    link = RedisLink(redis.url)
    keys = await link.attempt(lambda client: client.keys("*"))
    assert keys is not None
    assert len(keys) == 1
    assert keys[0].startswith(b"clairo:")
    await link.close()


def test_a_malformed_redis_url_is_refused_without_showing_its_password() -> None:
    with pytest.raises(SettingsError, match="expected redis://HOST:PORT/DB") as refused:
        load_settings(Settings, {"bundle": Path("bundle"), "redis_url": "http://:hidden-word@cache:6379"}, {})
    assert "hidden-word" not in str(refused.value)


async def recommend(client: httpx.AsyncClient, item_id: str) -> list[dict[str, object]]:
    answer = await client.post("/recommend", json={"history": [item_id], "limit": 5})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, object]] = answer.json()["items"]
    return items
