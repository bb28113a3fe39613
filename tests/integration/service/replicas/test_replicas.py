"""Several processes on one store: an item posted to one is recommendable on all within two seconds."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from clairo_core.bundle.manifest import read_manifest
from service.cli.workers import threads_per_worker
from service.errors import StoreError
from service.replicas.catalogue_sync import CatalogueSync
from service.replicas.redis_link import RedisLink
from service.usable_cores import usable_cores
from tests.postgres_server import PostgresServer
from tests.redis_server import running_redis
from tests.repository import REPOSITORY
from tests.running_service import START_SECONDS, ServiceProcess, running_process
from tests.tiny import tiny_bundle

PROMISED_SECONDS = 2.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    tiny_bundle(folder / "second", seed=1)
    return tiny_bundle(folder / "tiny")


def started_together(*services: ServiceProcess) -> list[str]:
    """Start in parallel, since loading takes most of a test's time."""
    return [service.wait_until_ready() for service in services]


def seconds_until(is_so: Callable[[], bool], give_up_seconds: float = 20.0) -> float:
    started_at = time.monotonic()
    while not is_so():
        if time.monotonic() - started_at > give_up_seconds:
            raise TimeoutError
        time.sleep(0.02)
    return time.monotonic() - started_at


def post_mug(client: httpx.Client, url: str, item_id: str) -> httpx.Response:
    item = {"item_id": item_id, "title": "blue mug", "description": "A mug for every day, in blue."}
    return client.post(f"{url}/items", json=item)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_item_posted_to_one_process_is_soon_recommendable_on_the_other(
    kind: str, bundle: Path, tmp_path: Path, postgres: PostgresServer
) -> None:
    database_url = f"sqlite:///{tmp_path / 'clairo.db'}" if kind == "sqlite" else postgres.new_database()
    with ExitStack() as stack:
        services = [ServiceProcess(bundle, tmp_path, "--database-url", database_url, "--migrate") for _ in range(2)]
        for service in services:
            stack.callback(service.terminate)
        one, other = started_together(*services)
        client = stack.enter_context(httpx.Client(timeout=60))
        waits = []
        for number in range(3):
            assert post_mug(client, one, f"mug-{number}").status_code == 201
            body = {"history": [f"mug-{number}"], "limit": 1}
            waits.append(
                seconds_until(lambda: not client.post(f"{other}/recommend", json=body).json()["ignored_item_ids"])  # noqa: B023
            )
        assert max(waits) < PROMISED_SECONDS

        # The same words posted to both at once: features differ per item, and both processes agree.
        with ExitStack() as posting:
            threads = [
                threading.Thread(target=post_mug, args=(client, url, f"twin-{number}-{place}"))
                for number in range(4)
                for place, url in enumerate((one, other))
            ]
            for thread in threads:
                posting.callback(thread.join)
                thread.start()
        twins = [f"twin-{number}-{place}" for number in range(4) for place in range(2)]

        def features_on(url: str) -> list[str]:
            return [str(client.get(f"{url}/items/{item_id}").json().get("feature_set")) for item_id in twins]

        seconds_until(lambda: "None" not in features_on(one) + features_on(other))
        assert len(set(features_on(one))) == len(twins)
        assert features_on(one) == features_on(other)


@pytest.fixture(scope="module")
def two_workers(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_process(
        bundle,
        tmp_path_factory.mktemp("data"),
        *("--workers", "2", "--bundles-dir", str(bundle.parent), "--log-format", "json"),
        threads=None,
    ) as service:
        yield service


def workers_of(service: ServiceProcess) -> list[int]:
    """The worker processes, without the helper of Python's own beside them."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    return [int(child) for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_workers_share_one_port_one_catalogue_and_one_set_of_numbers(two_workers: ServiceProcess) -> None:
    assert len(workers_of(two_workers)) == 2
    info = httpx.get(f"{two_workers.url}/info", timeout=60).json()
    assert info["num_threads"] == threads_per_worker(2, usable_cores())
    with httpx.Client(timeout=60) as client:
        assert post_mug(client, two_workers.url, "shared-mug").status_code == 201
    posted_at = time.monotonic()
    answers = 0
    while time.monotonic() - posted_at < PROMISED_SECONDS + 1:
        # One connection per request: either worker may accept it.
        answer = httpx.get(f"{two_workers.url}/items/shared-mug", timeout=60)
        is_late = time.monotonic() - posted_at > PROMISED_SECONDS
        assert answer.status_code == 200 or not is_late
        answers += 1
    scrapes = [httpx.get(f"{two_workers.url}/metrics", timeout=60).text for _ in range(4)]
    for text in scrapes:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        counted = [
            sample.value
            for sample in samples
            if sample.name == "clairo_request_duration_seconds_count" and sample.labels["route"] == "/items/{item_id}"
        ]
        assert sum(counted) == answers
        (items,) = [sample.value for sample in samples if sample.name == "clairo_catalogue_items"]
        assert items == 61


def served_by(service: ServiceProcess) -> set[str]:
    """Ids of bundles that a few connections find served: either worker may accept one."""
    return {httpx.get(f"{service.url}/info", timeout=60).json()["bundle_id"] for _ in range(8)}


def test_workers_share_the_memory_of_the_bundle(two_workers: ServiceProcess) -> None:
    for worker in workers_of(two_workers):
        lines = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()[1:]
        kibibytes = {line.split()[0]: int(line.split()[1]) for line in lines}
        assert kibibytes["Private_Dirty:"] < kibibytes["Rss:"] / 3


def test_a_killed_worker_is_replaced_by_one_of_the_active_bundle_and_the_port_answers_meanwhile(
    two_workers: ServiceProcess, bundle: Path
) -> None:
    second = read_manifest(bundle.with_name("second")).bundle_id
    activated = httpx.post(f"{two_workers.url}/bundles/{second}/activate?allow_worse=true", timeout=60)
    assert activated.status_code == 200, activated.text
    seconds_until(lambda: served_by(two_workers) == {second}, START_SECONDS)
    killed = workers_of(two_workers)[0]
    os.kill(killed, signal.SIGKILL)
    failed = 0

    def whole_again() -> bool:
        nonlocal failed
        try:
            # One connection per request: a worker that is not ready yet would get half of them.
            answer = httpx.get(f"{two_workers.url}/health/ready", timeout=10)
        except httpx.TransportError:
            failed += 1
        else:
            assert answer.status_code == 200, answer.text
        return any("serves in place of one that ended" in line for line in two_workers.lines)

    seconds_until(whole_again, START_SECONDS)
    assert killed not in workers_of(two_workers)
    assert len(workers_of(two_workers)) == 2
    assert served_by(two_workers) == {second}
    # At most the requests that the killed process had accepted.
    assert failed <= 1


def test_workers_end_when_the_supervisor_is_killed(bundle: Path, tmp_path: Path) -> None:
    service = ServiceProcess(bundle, tmp_path, "--workers", "2")
    service.wait_until_ready()
    workers = workers_of(service)
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    seconds_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 60)
    service.kill()


def test_a_worker_that_cannot_start_reports_why_once_and_ends_all(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service.cli", "run", "--bundle", str(tmp_path / "nowhere")]
    ended = subprocess.run(
        [*command, "--data-dir", str(tmp_path), "--port", "0", "--workers", "2"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=REPOSITORY,
    )
    assert ended.returncode == 1
    assert "no bundle here" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_message_on_redis_wakes_others_at_once_and_without_redis_the_store_is_polled(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()

    async def nothing() -> None: ...

    with running_redis(tmp_path) as redis:
        links = RedisLink(redis.url), RedisLink(redis.url)
        # With an interval this long, only the message can wake it.
        listening, publishing = (CatalogueSync(redis=link, channel="written", interval_seconds=30) for link in links)
        await listening.start([ask])
        await publishing.start([nothing])
        await asyncio.sleep(0.3)
        publishing.publish_write()
        async with asyncio.timeout(1):
            await asked.wait()
        # Its own message does not wake it.
        asked.clear()
        listening.publish_write()
        await asyncio.sleep(0.3)
        assert not asked.is_set()
        await listening.stop()
        await publishing.stop()
        redis.kill()
        alone = CatalogueSync(redis=links[0], channel="written", interval_seconds=0.05)
        await alone.start([ask])
        async with asyncio.timeout(2):
            await asked.wait()
        await alone.stop()
        for link in links:
            await link.close()


async def test_a_failing_step_is_logged_once_and_retried(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    async def fail_three_times() -> None:
        nonlocal calls
        calls += 1
        if calls <= 3:
            raise ConnectionError("gone")

    sync = CatalogueSync(redis=None, channel="written", interval_seconds=0.01)
    await sync.start([fail_three_times])
    async with asyncio.timeout(5):
        while calls < 5:
            await asyncio.sleep(0.01)
    await sync.stop()
    assert len([record for record in caplog.records if "cannot follow" in record.message]) == 1


async def test_the_steps_after_a_failing_one_are_taken() -> None:
    is_taken = asyncio.Event()

    async def fail() -> None:
        raise StoreError("a placement cannot be read: another CLAIRO saved it")

    async def take() -> None:
        is_taken.set()

    sync = CatalogueSync(redis=None, channel="written", interval_seconds=0.01)
    await sync.start([fail, take])
    async with asyncio.timeout(5):
        await is_taken.wait()
    await sync.stop()


def test_a_port_in_use_is_reported_before_any_worker_starts(bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        service = ServiceProcess(bundle, tmp_path, "--workers", "2", "--port", port)
        assert service.process.wait(timeout=60) == 1
        service.kill()
    assert "cannot listen" in "".join(service.lines)
