"""SIGKILL repeatedly during a bulk job: it resumes, finishes every line, and adds no item twice."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running_service import running_process
from tests.tiny import tiny_bundle

NUM_ROWS = 400


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


def job_at(url: str, path: str) -> dict[str, Any]:
    return httpx.get(url + path, timeout=60).json()  # type: ignore[no-any-return]


def wait_for_rows(url: str, path: str, num_done: int) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (job := job_at(url, path))["num_done"] < num_done:
        assert time.monotonic() < deadline, job
        time.sleep(0.01)
    return job


def test_a_killed_job_resumes_and_adds_nothing_twice(bundle: Path, tmp_path: Path) -> None:
    rows = [{"item_id": f"bulk-{n}", "title": f"Product {n}"} for n in range(NUM_ROWS)]
    rows[7] = {"item_id": "bulk-7"}
    body = "\n".join(json.dumps(row) for row in rows)
    with running_process(bundle, tmp_path) as service:
        answer = httpx.post(
            f"{service.url}/items/bulk", content=body, headers={"Content-Type": "application/x-ndjson"}, timeout=60
        )
        assert answer.status_code == 202, answer.text
        path = answer.headers["location"]
        wait_for_rows(service.url, path, 1)
        service.kill()
    with running_process(bundle, tmp_path) as service:
        before = job_at(service.url, path)
        wait_for_rows(service.url, path, min(NUM_ROWS, before["num_done"] + 32))
        service.kill()
    with running_process(bundle, tmp_path) as service:
        job = wait_for_rows(service.url, path, NUM_ROWS)
        assert (job["state"], job["num_accepted"], job["num_rejected"]) == ("done", NUM_ROWS - 1, 1)
        assert [row["line"] for row in job["rejected"]] == [8]
        found = httpx.get(f"{service.url}/items", params={"q": "bulk-", "limit": 1}, timeout=60).json()
        assert found["items"]
        assert service.terminate() in (0, -15)
    connection = sqlite3.connect(tmp_path / "clairo.db")
    try:
        for table in ("items", "item_features", "catalogue_changes"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (NUM_ROWS - 1,)
        assert connection.execute("SELECT count(*) FROM job_rows").fetchone() == (1,)
    finally:
        connection.close()
