"""One suite for every cache: the fake that tests may use, and the one in the process's memory."""

import pytest

from service.cache import Cache, InProcessCache


class DictionaryCache:
    """A `Cache` that forgets nothing."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.answers.get(key)

    async def put(self, key: str, answer: bytes) -> None:
        self.answers[key] = answer


@pytest.fixture(params=[DictionaryCache(), InProcessCache(max_entries=100)], ids=["fake", "in process"])
def cache(request: pytest.FixtureRequest) -> Cache:
    return request.param  # type: ignore[no-any-return]


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
