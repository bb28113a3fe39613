"""`clairo-train recommend` by a running service: its users, under its placements, each once, also after a kill."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from clairo_client import CLAIRO
from clairo_core.errors import SettingsError, TrainingError
from clairo_core.progress import silent
from service.cli.commands import app as service_app
from tests.recommending import Killed, killed_after
from tests.running_service import running_process
from tests.tiny import tiny_bundle
from training.cli import app
from training.recommending import ask_service as asking
from training.recommending import write_lists as writing
from training.recommending.ask_service import ask_service

USERS = [f"user-{number:02}" for number in range(11)]
PINNED, HIDDEN = "item-40", "lamp"
NO_SERVICE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The url of a service whose user n viewed item n and the next one, and a key that reads."""
    data_dir = tmp_path_factory.mktemp("data")
    keys = [
        CliRunner().invoke(
            service_app, ["keys", "create", "--name", "shop", "--scope", scope, "--data-dir", str(data_dir)]
        )
        for scope in ("read", "write")
    ]
    reads, writes = (made.stdout.strip() for made in keys)
    with (
        running_process(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny"), data_dir) as service,
        CLAIRO(service.url, api_key=writes) as client,
    ):
        client.add_feedback(
            [
                {"user_id": user_id, "item_id": f"item-{number + step}", "type": "view", "timestamp": 1000 + step}
                for number, user_id in enumerate(USERS)
                for step in (1, 2)
            ]
        )
        client.put_placement(
            "home",
            filter={"not": {"attribute": "category", "equals": HIDDEN}},
            pin=[{"item_id": PINNED, "rank": 2}],
        )
        yield service.url, reads


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "USERS_PER_PART", 4)
    monkeypatch.setattr(asking, "USERS_PER_CALL", 3)
    monkeypatch.setattr(asking, "USERS_PER_PAGE", 5)


def asked(shop: tuple[str, str], out: Path, placement: str | None = None, progress: Any = silent) -> list[str]:
    """Run the command's function; return what it reported."""
    told: list[str] = []
    told.append(ask_service(shop[0], placement, out, 5, api_key=shop[1], progress=progress, report=told.append))
    return told


def test_a_file_under_a_placement_holds_what_the_service_answers(
    shop: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, key = shop
    monkeypatch.setenv("CLAIRO_API_KEY", key)
    out = tmp_path / "new" / "home.parquet"
    flags = ["--out", str(out), "--limit", "5", "--placement", "home"]
    ran = CliRunner().invoke(app, ["recommend", url, *flags], catch_exceptions=False)
    assert f"{out}: 11 users, 55 rows" in ran.stdout
    rows = pq.read_table(out).to_pylist()
    with CLAIRO(url, api_key=key) as client:
        for user_id in USERS:
            expected = client.recommend(user_id=user_id, limit=5, placement="home").items
            of_user = [row for row in rows if row["user_id"] == user_id]
            assert [(row["rank"], row["item_id"], row["source"]) for row in of_user] == [
                (item.rank, item.item_id, item.source) for item in expected
            ]
            # A lone request and one in a batch differ by rounding.
            assert [row["score"] for row in of_user] == pytest.approx([item.score for item in expected], abs=1e-4)
        categories = {row["item_id"]: client.get_item(row["item_id"]).attributes["category"] for row in rows}
    assert {row["item_id"] for row in rows if row["rank"] == 2} == {PINNED}
    assert HIDDEN not in categories.values()


def test_a_killed_run_resumes_with_the_users_of_its_start_each_once(shop: tuple[str, str], tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    asked(shop, whole)
    with pytest.raises(Killed):
        asked(shop, out, progress=killed_after(6))
    told = asked(shop, out)
    assert told[0].startswith("resuming after 4 of 11 users")
    assert pq.read_table(out)["user_id"].equals(pq.read_table(whole)["user_id"])
    with pytest.raises(Killed):
        asked(shop, out, progress=killed_after(6))
    assert "11 users, 55 rows" in asked(shop, out, "home")[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "whole.parquet"]


def test_what_a_service_cannot_do_is_said_with_the_next_step(shop: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(SettingsError, match=r"--placement cart is not saved in the service, which has home; save it"):
        asked(shop, out, "cart")
    with pytest.raises(TrainingError, match=r"refused: 401 .*set CLAIRO_API_KEY to a key of scope read"):
        asked((shop[0], "clairo_wrong"), out)
    with pytest.raises(TrainingError, match="does not answer"):
        ask_service(NO_SERVICE, None, out, 5, api_key=None, progress=silent, report=print)
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ["bundles/demo", "--users", "shop", "--placement", "home"],
            "placements are the service's, and bundles/demo is",
        ),
        (["bundles/demo"], "bundles/demo is a bundle and --users is missing"),
        ([NO_SERVICE, "--users", "shop", "--device", "cpu"], "leave out --users, --device"),
        ([NO_SERVICE, "--limit", "101"], "--limit 101: a service answers up to 100 items"),
        (["http://", "--placement", "home"], "expected http://HOST:PORT"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags: list[str], expected: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["recommend", *flags, "--out", str(tmp_path / "out.csv")])
    assert isinstance(ran.exception, SettingsError)
    assert expected in str(ran.exception)


class BusyService:
    """Answers `statuses` in turn for one user of a batch, with problems for those from 400 on."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked: list[list[str]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/placements":
            return httpx2.Response(200, json={"placements": []})
        if request.url.path == "/users":
            users = [{"user_id": one, "num_events": 1, "newest_at": 1.0, "num_bundle_items": 0} for one in ("a", "b")]
            return httpx2.Response(200, json={"users": users, "next_cursor": None})
        user_ids = [one["user_id"] for one in httpx2.Response(200, content=request.content).json()["requests"]]
        self.asked.append(user_ids)
        return httpx2.Response(200, json={"results": [self._result(one) for one in user_ids]})

    def _result(self, user_id: str) -> dict[str, Any]:
        status = self.statuses.pop(0) if user_id == "b" else 200
        if status == 200:
            return {"recommendation": ANSWER}
        problem = {"type": "x", "title": "Busy", "status": status, "detail": "later", "instance": "", "request_id": ""}
        return {"problem": problem}


ITEM = {"item_id": "mug", "rank": 1, "score": -1.0, "source": "dense", "rules": [], "explanation": None}
ANSWER = {
    "recommendation_id": "r-1",
    "bundle_id": "b-1",
    "catalogue_version": 1,
    "seed": 0,
    "fallback_reason": None,
    "ignored_item_ids": [],
    "items": [ITEM],
}


def test_users_whom_a_busy_service_refuses_are_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "WAITS_SECONDS", (0.0, 0.0))
    for statuses, is_answered in (((429, 503, 200), True), ((429, 503, 504), False), ((422,), False)):
        service = BusyService(*statuses)
        monkeypatch.setattr(asking, "CLAIRO", partial(CLAIRO, transport=httpx2.MockTransport(service)))
        if is_answered:
            assert "2 users, 2 rows" in asked(("http://shop", "key"), tmp_path / "out.csv")[0]
        else:
            with pytest.raises(TrainingError, match=f"refused user 'b': {statuses[-1]} Busy: later; run again"):
                asked(("http://shop", "key"), tmp_path / "out.csv")
        assert service.asked == [["a", "b"], *[["b"]] * (len(statuses) - 1)]
