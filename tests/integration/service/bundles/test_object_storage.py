"""Serve bundles from object storage: a real S3 server, PostgreSQL and Redis, and processes with disks of their own."""

import fcntl
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.bundle.remote_bundles import RemoteBundles, push_bundle
from clairo_core.errors import BundleStorageError
from service.bundles.shelf import BundleShelf
from tests.object_storage import ObjectStorage, running_storage
from tests.postgres_server import PostgresServer
from tests.redis_server import running_redis
from tests.running_service import ServiceProcess, running_process, running_service

PROMISED_SECONDS = 5.0


@pytest.fixture
def storage(made: Path, tmp_path: Path) -> Iterator[ObjectStorage]:
    """With both bundles."""
    with running_storage(tmp_path / "storage") as storage:
        for name in ("first", "second"):
            push_bundle(made / name, storage.address)
        yield storage


@pytest.fixture
async def client(made: Path, storage: ObjectStorage, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A service of the first bundle, which is on its disk."""
    bundle = load_bundle(made / "first")
    async with running_service(bundle, bundles_dir=storage.url, bundles_cache_dir=tmp_path / "copies") as client:
        yield client


def id_of(folder: Path) -> str:
    return read_manifest(folder).bundle_id


def test_machines_serve_an_activated_bundle_within_seconds(
    made: Path, storage: ObjectStorage, postgres: PostgresServer, tmp_path: Path
) -> None:
    second = id_of(made / "second")
    flags = ("--bundles-dir", storage.url, "--database-url", postgres.new_database(), "--migrate")
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis(tmp_path / "redis"))
        one, *others = (
            stack.enter_context(
                running_process(made / "first", tmp_path / f"machine-{number}", *flags, "--redis-url", redis.url)
            )
            for number in range(2)
        )
        client = stack.enter_context(httpx.Client(timeout=60))
        asked_at = time.monotonic()
        client.post(f"{one.url}/bundles/{second}/activate", params={"allow_worse": True}).raise_for_status()
        activated_at = time.monotonic()
        for other in others:
            while client.get(f"{other.url}/info").json()["bundle_id"] != second:
                # The old bundle serves until then.
                assert client.get(f"{other.url}/health/ready").status_code == 200
                assert client.post(f"{other.url}/recommend", json={"history": ["item-1"]}).status_code == 200
                assert time.monotonic() - activated_at < 60
        seconds = time.monotonic() - activated_at
        print(f"served by one after {activated_at - asked_at:.1f} s, by all {seconds:.1f} s later")
        assert seconds < PROMISED_SECONDS
        for number in range(2):
            assert list((tmp_path / f"machine-{number}" / "bundles").glob("*/second/manifest.json"))


def test_workers_fork_from_a_bundle_in_storage_and_start_again_without_it(
    made: Path, storage: ObjectStorage, tmp_path: Path
) -> None:
    second = id_of(made / "second")
    bundle = storage.url.replace("/bundles?", "/bundles/first?")
    flags = ("--bundles-dir", storage.url, "--workers", "2")
    with running_process(bundle, tmp_path / "data", *flags) as service, httpx.Client(timeout=60) as client:
        assert "each worker loads it itself" not in "".join(service.lines)
        assert client.get(f"{service.url}/info").json()["bundle_id"] == id_of(made / "first")
        client.post(f"{service.url}/bundles/{second}/activate", params={"allow_worse": True}).raise_for_status()
    storage.kill()
    with running_process(bundle, tmp_path / "data", *flags) as service, httpx.Client(timeout=60) as client:
        assert client.get(f"{service.url}/info").json()["bundle_id"] == second
        log = "".join(service.lines)
        assert f"bundle {second} is taken from its copy on this machine: s3://shop/bundles at 127.0.0.1" in log


def test_without_a_copy_a_start_names_the_storage_that_is_down(storage: ObjectStorage, tmp_path: Path) -> None:
    storage.kill()
    service = ServiceProcess(storage.url.replace("/bundles?", "/bundles/first?"), tmp_path / "data")
    assert service.process.wait(timeout=60) == 1
    service.kill()
    (failure,) = (line for line in service.lines if line.startswith("clairo-serve: "))
    assert failure.startswith("clairo-serve: s3://shop/bundles at 127.0.0.1")
    assert "check the address, the credentials" in failure


async def test_a_start_without_the_storage_serves_the_activated_bundle_or_ends(
    made: Path, storage: ObjectStorage, tmp_path: Path
) -> None:
    first, second = load_bundle(made / "first"), id_of(made / "second")
    settings = {"bundles_dir": storage.url, "database_url": f"sqlite:///{tmp_path / 'clairo.db'}"}
    async with running_service(first, bundles_cache_dir=tmp_path / "copies", **settings) as client:
        await client.post(f"/bundles/{second}/activate", params={"allow_worse": True})
    storage.kill()
    async with running_service(first, bundles_cache_dir=tmp_path / "copies", **settings) as client:
        assert (await client.get("/info")).json()["bundle_id"] == second
        # The bundle before is on this machine: going back needs no storage.
        assert (await client.post("/bundles/rollback")).json()["previous_bundle_id"] == second
        assert (await client.post(f"/bundles/{second}/activate")).json()["bundle_id"] == second
    with pytest.raises(BundleStorageError, match=r"s3://shop/bundles at 127\.0\.0\.1"):
        async with running_service(first, bundles_cache_dir=tmp_path / "empty", **settings):
            pass


async def test_bundles_in_storage_are_listed_and_one_is_served(
    client: httpx.AsyncClient, made: Path, storage: ObjectStorage
) -> None:
    shutil.copytree(storage.bundles / "second", storage.bundles / "half")
    (storage.bundles / "half" / "manifest.json").unlink()
    second = id_of(made / "second")
    listed = (await client.get("/bundles")).json()["bundles"]
    assert [(one["name"], one["is_serving"]) for one in listed] == [("first", True), ("second", False)]
    answer = await client.post(f"/bundles/{second}/activate", params={"allow_worse": True})
    assert answer.json()["bundle_id"] == second
    assert (await client.post("/bundles/rollback")).json()["previous_bundle_id"] == second


async def test_a_damaged_manifest_is_listed_without_the_storages_address(
    client: httpx.AsyncClient, storage: ObjectStorage
) -> None:
    (storage.bundles / "second" / "manifest.json").write_text("{")
    listed = (await client.get("/bundles")).json()["bundles"]
    problem = next(one["problem"] for one in listed if one["name"] == "second")
    assert problem.startswith("second/manifest.json: cannot be read (")
    assert "127.0.0.1" not in problem


async def test_an_altered_object_is_refused_and_the_old_bundle_serves(
    client: httpx.AsyncClient, made: Path, storage: ObjectStorage
) -> None:
    (storage.bundles / "second" / "popularity.npz").write_bytes(b"rotten")
    refused = await client.post(f"/bundles/{id_of(made / 'second')}/activate", params={"allow_worse": True})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:clairo:problem:damaged-bundle")
    assert "s3://shop/bundles/second/popularity.npz" in refused.json()["detail"]
    assert (await client.get("/info")).json()["bundle_id"] == id_of(made / "first")


async def test_a_storage_that_is_down_is_a_503_and_recommendations_go_on(
    client: httpx.AsyncClient, storage: ObjectStorage
) -> None:
    storage.kill()
    refused = await client.get("/bundles")
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:clairo:problem:bundle-storage-unavailable")
    assert (await client.post("/recommend", json={"history": ["item-1"]})).status_code == 200


def test_a_look_does_not_wait_until_a_bundle_is_fetched(made: Path, storage: ObjectStorage, tmp_path: Path) -> None:
    shelf = BundleShelf(made / "first", storage.address, tmp_path / "copies")
    copies = RemoteBundles(storage.address, tmp_path / "copies").folder
    copies.mkdir(parents=True)
    second = id_of(made / "second")
    with (copies / ".lock").open("w") as lock:
        # As another process that fetches.
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert shelf.fetched(second) is None
    deadline = time.monotonic() + 60
    while (found := shelf.fetched(second)) is None:
        assert time.monotonic() < deadline
    assert (found.folder / "manifest.json").is_file()
    shelf.close()


def test_a_copy_that_was_damaged_on_disk_is_repaired_when_it_is_loaded(
    made: Path, storage: ObjectStorage, tmp_path: Path
) -> None:
    shelf = BundleShelf(storage.address / "first", None, tmp_path / "copies")
    shelf.load_configured()
    (copy,) = RemoteBundles(storage.address, tmp_path / "copies").copies()
    (copy / "popularity.npz").write_bytes(b"rotten")
    assert shelf.load_configured().manifest.bundle_id == id_of(made / "first")
    shelf.close()
