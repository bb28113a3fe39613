"""API keys: every call with every kind of key, rates, revocation, and a service without keys."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from clairo_core.bundle.bundle import Bundle
from service.cli.commands import app
from service.keys import key_ring
from service.keys.api_key import Scope, id_of_key, is_key_of, new_key
from service.keys.authentication import required_scope
from service.keys.key_ring import KeyRing
from service.keys.public_calls import is_public
from service.keys.rate import TokenBucket
from service.keys.shared_rate import KeyRates
from service.replicas.redis_link import RedisLink
from tests.redis_server import running_redis
from tests.running_service import running_service

PAGE = "https://shop.example"
OPEN_CALLS = {("get", "/health/live"), ("get", "/health/ready"), ("get", "/info"), ("get", "/metrics")}
READ_CALLS = {("post", "/recommend"), ("post", "/recommend/batch"), ("post", "/complements")}


@dataclass(frozen=True)
class Shop:
    """A store with a key of each scope, and one of another namespace."""

    data_dir: Path
    keys: dict[str, str]


def made_key(data_dir: Path, *flags: str, namespace: str = "default") -> str:
    command = ["keys", "create", "--name", "test", "--data-dir", str(data_dir), "--namespace", namespace, *flags]
    made = CliRunner().invoke(app, command)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    data_dir = tmp_path_factory.mktemp("shop")
    keys = {scope: made_key(data_dir, "--scope", scope) for scope in ("read", "write", "admin")}
    keys["public"] = made_key(data_dir, "--scope", "public", "--origin", PAGE)
    keys["another namespace's"] = made_key(data_dir, "--scope", "admin", namespace="other")
    keys["revoked"] = made_key(data_dir, "--scope", "admin")
    CliRunner().invoke(app, ["keys", "revoke", str(id_of_key(keys["revoked"])), "--data-dir", str(data_dir)])
    keys["nearly right"] = keys["admin"][:-1] + ("a" if keys["admin"][-1] != "a" else "b")
    keys["wrong"] = "clairo_nonsense"
    return Shop(data_dir, keys)


@pytest.fixture
async def client(bundle: Bundle, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with running_service(bundle, data_dir=shop.data_dir, database_url="") as client:
        yield client


def expected_scope(method: str, path: str) -> str:
    if path == "/jobs" or path.startswith(("/bundles", "/experiments")):
        return "admin"
    return "read" if method == "get" or (method, path) in READ_CALLS else "write"


async def test_every_call_with_every_kind_of_key_is_answered_as_declared(client: httpx.AsyncClient, shop: Shop) -> None:
    document = (await client.get("/openapi.json")).json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "api_key", "public_key"}
    num_calls = 0
    for template, operations in document["paths"].items():
        path = template.replace("{item_id}", "nowhere").replace("{", "").replace("}", "")
        for method, operation in operations.items():
            statuses = {"none": (await client.request(method, path)).status_code}
            for kind, key in shop.keys.items():
                headers = {"Authorization": f"Bearer {key}", "Origin": PAGE}
                statuses[kind] = (await client.request(method, path, headers=headers)).status_code
                as_header = await client.request(method, path, headers={"X-API-Key": key, "Origin": PAGE})
                assert (as_header.status_code in (401, 403)) == (statuses[kind] in (401, 403))
            num_calls += 1
            if (method, template) in OPEN_CALLS:
                assert operation["security"] == []
                assert not {401, 403} & set(statuses.values()), (method, template)
                continue
            scope = expected_scope(method, template)
            assert operation["x-required-scope"] == scope, (method, template)
            assert ({"public_key": []} in operation["security"]) == is_public(method.upper(), template)
            assert {"401", "403", "429", "503"} <= set(operation["responses"])
            for kind, status in statuses.items():
                if kind in ("none", "wrong", "nearly right", "revoked", "another namespace's"):
                    assert status == 401, (method, template, kind)
                elif kind in (scope, "admin") or (kind == "public" and is_public(method.upper(), template)):
                    assert status not in (401, 403), (method, template, kind)
                    assert status < 500, (method, template, kind)
                else:
                    assert status == 403, (method, template, kind)
    assert num_calls >= 15


async def test_a_refusal_has_a_next_step_and_never_repeats_a_key(client: httpx.AsyncClient, shop: Shop) -> None:
    none = await client.get("/items")
    assert none.headers["www-authenticate"] == "Bearer"
    assert none.headers["content-type"] == "application/problem+json"
    assert none.json()["type"] == "urn:clairo:problem:no-key"
    assert none.json()["request_id"] == none.headers["x-request-id"]
    wrong = await client.get("/items", headers={"X-API-Key": shop.keys["nearly right"]})
    assert shop.keys["nearly right"] not in wrong.text
    other = await client.get("/items", headers={"X-API-Key": shop.keys["write"]})
    assert other.json()["type"] == "urn:clairo:problem:missing-scope"


async def test_a_refused_body_is_not_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/recommend", content=b"no json", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer  ", "bearer x y", "Bearer " + "k" * 5000])
async def test_malformed_headers_are_not_keys(client: httpx.AsyncClient, header: str) -> None:
    assert (await client.get("/items", headers={"Authorization": header})).status_code == 401


async def test_without_any_key_local_clients_need_none_and_others_get_instructions(bundle: Bundle) -> None:
    async with running_service(bundle) as client:
        assert (await client.get("/items")).status_code == 200
        transport = client._transport
        assert isinstance(transport, httpx.ASGITransport)
        far = httpx.ASGITransport(transport.app, client=("192.0.2.7", 5000))
        async with httpx.AsyncClient(transport=far, base_url="http://service") as stranger:
            refused = await stranger.get("/items")
            assert refused.status_code == 401
            assert "clairo-serve keys create" in refused.json()["detail"]
            assert (await stranger.get("/health/ready")).status_code == 200
        # Forwarded by a proxy on this machine: the client is remote.
        assert (await client.get("/items", headers={"X-Forwarded-For": "192.0.2.7"})).status_code == 401


async def test_an_open_network_is_open_only_until_there_is_a_key(bundle: Bundle, shop: Shop) -> None:
    for settings, status in ((dict[str, object](), 200), ({"data_dir": shop.data_dir, "database_url": ""}, 401)):
        async with running_service(bundle, allow_open_network=True, **settings) as client:
            transport = client._transport
            assert isinstance(transport, httpx.ASGITransport)
            far = httpx.ASGITransport(transport.app, client=("192.0.2.7", 5000))
            async with httpx.AsyncClient(transport=far, base_url="http://service") as stranger:
                assert (await stranger.get("/items")).status_code == status


async def test_keys_created_and_revoked_meanwhile_take_effect_soon(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "REFRESH_SECONDS", 0.0)
    async with running_service(bundle, data_dir=tmp_path, database_url="") as client:
        assert (await client.get("/items")).status_code == 200
        key = await asyncio.to_thread(made_key, tmp_path, "--scope", "read", "--rate", "2")
        assert (await client.get("/items")).status_code == 401
        headers = {"X-API-Key": key}
        assert [(await client.get("/items", headers=headers)).status_code for _ in range(3)] == [200, 200, 429]
        limited = await client.get("/items", headers=headers)
        assert 1 <= int(limited.headers["retry-after"]) <= 30
        command = ["keys", "revoke", str(id_of_key(key)), "--data-dir", str(tmp_path)]
        assert (await asyncio.to_thread(CliRunner().invoke, app, command)).exit_code == 0
        assert (await client.get("/items", headers=headers)).status_code == 401
        # Revoking the last key does not open the service again.
        assert (await client.get("/items")).status_code == 401


def test_a_list_of_keys_shows_no_secret(tmp_path: Path) -> None:
    assert "no keys" in CliRunner().invoke(app, ["keys", "list", "--data-dir", str(tmp_path)]).output
    key = made_key(tmp_path, "--scope", "read", "--scope", "write", "--rate", "60")
    listed = CliRunner().invoke(app, ["keys", "list", "--data-dir", str(tmp_path)]).output
    assert str(id_of_key(key)) in listed
    assert "read,write  60 calls per minute" in listed
    assert key.split("_", 2)[2] not in listed
    for path in tmp_path.iterdir():
        assert key.encode() not in path.read_bytes()
        assert key[20:].encode() not in path.read_bytes()
    again = CliRunner().invoke(app, ["keys", "revoke", "0123456789ab", "--data-dir", str(tmp_path)])
    assert again.exit_code == 1


def test_a_record_matches_only_its_own_key() -> None:
    key, record = new_key("shop", [Scope.READ], None)
    other, _ = new_key("shop", [Scope.READ], None)
    assert is_key_of(record, key)
    assert not is_key_of(record, other)
    assert id_of_key(key) == record.key_id
    assert id_of_key("clairo_") is None


def test_a_bucket_allows_a_minutes_calls_and_then_refills_evenly() -> None:
    now = 0.0
    bucket = TokenBucket(60, lambda: now)
    assert [bucket.take() for _ in range(60)] == [0.0] * 60
    assert bucket.take() == pytest.approx(1.0)
    now = 0.5
    assert bucket.take() == pytest.approx(0.5)
    now = 1.0
    assert bucket.take() == 0.0
    now = 1e6
    assert [bucket.take() for _ in range(60)] == [0.0] * 60
    assert bucket.take() > 0


async def test_processes_that_share_a_redis_count_a_keys_calls_together(tmp_path: Path) -> None:
    with running_redis(tmp_path) as redis:
        links = [RedisLink(redis.url) for _ in range(2)]
        one, other = (KeyRates(lambda: 0.0, link, "test:rate:") for link in links)
        waits = [await rates.take("shop", 4) for _ in range(2) for rates in (one, other)]
        assert waits == [0.0] * 4
        for rates in (one, other):
            assert await rates.take("shop", 4) == pytest.approx(15, abs=1)
        assert await one.take("another", 4) == 0.0
        # A raised or lowered rate takes effect at once.
        assert await one.take("shop", 6000) < 0.02
        redis.kill()
        # From here on each process counts for itself.
        alone = [await rates.take("shop", 1) for rates in (one, other)]
        assert alone == [0.0, 0.0]
        assert await one.take("shop", 1) > 0
        for link in links:
            await link.close()


async def test_a_bucket_in_redis_refills_like_a_local_one(tmp_path: Path) -> None:
    with running_redis(tmp_path) as redis:
        link = RedisLink(redis.url)
        rates = KeyRates(lambda: 0.0, link, "test:rate:")
        taken = [await rates.take("shop", 600) for _ in range(600)]
        assert taken.count(0.0) == 600
        wait = 0.0
        while not wait:
            wait = await rates.take("shop", 600)
        assert 0 < wait <= 0.1
        await asyncio.sleep(wait + 0.05)
        assert await rates.take("shop", 600) == 0.0
        await link.close()


async def test_keys_stay_valid_while_the_store_is_down() -> None:
    from service.errors import StoreError
    from service.store.keys import KeyRecord

    key, record = new_key("shop", [Scope.READ], None)
    now = 0.0

    class FailingStore:
        is_away = False

        async def list_keys(self) -> list[KeyRecord]:
            if self.is_away:
                raise StoreError("away")
            return [record]

    store = FailingStore()
    ring = KeyRing(store, clock=lambda: now)  # type: ignore[arg-type]
    await ring.refresh()
    store.is_away, now = True, 100.0
    await ring.refresh()
    await ring.check(key, Scope.READ)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/items/a/b", Scope.READ),
        ("POST", "/recommend", Scope.READ),
        ("POST", "/recommendations", Scope.WRITE),
        ("DELETE", "/users/ann", Scope.WRITE),
        ("GET", "/users", Scope.READ),
        ("POST", "/feedback/bulk", Scope.WRITE),
        ("POST", "/bundles/b/activate", Scope.ADMIN),
        ("POST", "/bundles/rollback", Scope.ADMIN),
        ("GET", "/bundles", Scope.ADMIN),
        ("GET", "/playgrounds", Scope.READ),
        ("PATCH", "/anything", Scope.WRITE),
        ("GET", "/metrics", None),
        ("GET", "/playground/app.js", None),
    ],
)
def test_unknown_paths_need_a_key(method: str, path: str, scope: Scope | None) -> None:
    assert required_scope(method, path) is scope
