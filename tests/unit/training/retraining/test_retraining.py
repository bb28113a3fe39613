"""Parts of retraining: the newest interactions, the serving bundle's items, and the calls to the service."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import BundleManifest, read_manifest
from clairo_core.errors import SettingsError, TrainingError
from clairo_core.items import Item, UserHistory
from clairo_core.sequences import ItemSequences
from service.bundles.shelf import check_not_worse, measured_together
from service.cli.store_commands import parsed_since
from service.errors import WorseBundleError
from tests.tiny import tiny_bundle, tiny_items
from training.datasets.dataset import Dataset, build_dataset
from training.evaluation.metrics import Metric
from training.retraining.against_serving import AgainstServing, compare_with_serving, newest_split, with_items_carried
from training.retraining.promotion import ServiceCalls, bundle_of_id, read_key
from training.retraining.service_tables import newest_timestamps

NUM_ITEMS = 30


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "serving", num_items=NUM_ITEMS))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Three items more than the bundle has, and a user who ends at each of the last four."""
    items = tiny_items(NUM_ITEMS + 3)
    sequences = [[0, 1, NUM_ITEMS - 1], [1, 2, NUM_ITEMS], [2, 3, NUM_ITEMS + 1], [3, 4, NUM_ITEMS + 2], [5, 6]]
    users = ("ann", "bob", "cem", "dan", "eve")
    return build_dataset("shop", items, users, ItemSequences.from_lists(sequences))


def compared(candidate: Bundle, serving: Bundle, dataset: Dataset, newest_at: dict[str, float]) -> AgainstServing:
    recommenders = [
        with_items_carried(bundle, bundle.recommender("cpu", num_views=1, num_beams=10), dataset.items)
        for bundle in (candidate, serving)
    ]
    return compare_with_serving(
        recommenders[0],
        serving,
        recommenders[1],
        dataset,
        newest_at,
        max_users=0,
        num_resamples=20,
        seed=0,
        progress=lambda things, _label, _total: things,
    )


def test_only_users_who_interacted_since_the_serving_bundle_was_made_count(dataset: Dataset) -> None:
    split = newest_split(dataset, {"ann": 5.0, "bob": 10.0, "cem": 10.1, "dan": 99.0, "eve": 99.0}, made_at=10.0)
    assert [dataset.user_ids[row] for row in split.user_rows] == ["cem", "dan"]
    assert split.targets.tolist() == [NUM_ITEMS + 1, NUM_ITEMS + 2]
    assert [list(history) for history in split.histories] == [[2, 3], [3, 4]]


def test_without_new_interactions_nothing_is_measured_or_promoted(serving: Bundle, dataset: Dataset) -> None:
    against = compared(serving, serving, dataset, dict.fromkeys(dataset.user_ids, 0.0))
    assert not against.is_not_worse
    assert "nothing to measure on" in str(against)
    assert measured_together({"against_serving": against.as_dict()}, serving.manifest.bundle_id) is None


def test_a_bundle_is_as_good_as_itself(serving: Bundle, dataset: Dataset) -> None:
    against = compared(serving, serving, dataset, dict.fromkeys(dataset.user_ids, 9e9))
    assert against.num_users == 4
    assert against.ndcg_at_10 == against.serving_ndcg_at_10
    assert against.is_not_worse
    assert against.num_unknown_to_serving == 0


def test_posted_items_are_added_to_the_serving_bundle_and_can_be_recommended(serving: Bundle, dataset: Dataset) -> None:
    recommender = serving.recommender("cpu", num_views=1, num_beams=50)
    carried = with_items_carried(serving, recommender, dataset.items)
    assert carried.catalogue.item_ids == tuple(item.item_id for item in dataset.items)
    answer = carried.recommend(UserHistory(("item-0",)), NUM_ITEMS + 2)
    assert {entry.item_id for entry in answer.items} == {item.item_id for item in dataset.items[1:]}
    # As the service describes them: by the bundle's own encoders.
    (described,) = serving.describe_items([dataset.items[NUM_ITEMS]], serving.catalogue.taken)
    assert tuple(carried.catalogue.feature_sets[NUM_ITEMS]) == described.feature_set


def test_targets_that_the_serving_bundle_cannot_rank_are_its_misses(
    tmp_path: Path, serving: Bundle, dataset: Dataset
) -> None:
    blind = load_bundle(tiny_bundle(tmp_path / "blind", num_items=NUM_ITEMS, can_ingest=False))
    against = compared(serving, blind, dataset, dict.fromkeys(dataset.user_ids, 9e9))
    assert against.num_users == 4
    assert against.num_unknown_to_serving == 3
    assert against.serving_ndcg_at_10 is not None
    assert against.serving_ndcg_at_10 <= 0.25
    assert "3 of them the serving bundle cannot rank" in str(against)


def test_newest_timestamps_count_known_items_alone(tmp_path: Path) -> None:
    events = [("ann", "a", 5), ("ann", "b", 3.5), ("ann", "gone", 9), ("bob", "gone", 1)]
    rows = [json.dumps({"user_id": user, "item_id": item, "timestamp": at}) for user, item, at in events]
    (tmp_path / "interactions.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert newest_timestamps(tmp_path, {"a", "b"}) == {"ann": 5.0}


# --- the service's use of the figures


def manifest(bundle: Bundle, bundle_id: str, metrics: dict[str, Any]) -> BundleManifest:
    return replace(bundle.manifest, bundle_id=bundle_id, metrics=metrics)


def against(serving_value: float, value: float) -> dict[str, Any]:
    return {"against_serving": AgainstServing("old", 9, value, serving_value, Metric("d", 0, 0, 0), 0).as_dict()}


def test_a_direct_comparison_takes_precedence_over_each_bundles_own_figure(serving: Bundle) -> None:
    old = manifest(serving, "old", {"ndcg@10": 0.9})
    check_not_worse(manifest(serving, "new", {"ndcg@10": 0.1} | against(0.2, 0.2)), old)
    with pytest.raises(WorseBundleError, match=r"0\.1900 .* 0\.2000"):
        check_not_worse(manifest(serving, "new", {"ndcg@10": 1.0} | against(0.2, 0.19)), old)
    # Compared with another bundle than the serving one: each bundle's own figure counts.
    with pytest.raises(WorseBundleError):
        check_not_worse(
            manifest(serving, "new", {"ndcg@10": 0.1} | against(0.2, 0.9)), manifest(serving, "newer", {"ndcg@10": 0.9})
        )


@pytest.mark.parametrize("metrics", [{}, {"against_serving": 3}, {"against_serving": {"serving_bundle_id": "old"}}])
def test_metrics_without_a_comparison_give_none(metrics: dict[str, Any]) -> None:
    assert measured_together(metrics, "old") is None


# --- the service's address, its key, its bundle


class FakeService(BaseHTTPRequestHandler):
    """Responds from `answers` and records the requests."""

    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}
    asked: ClassVar[list[tuple[str, str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.command, self.path, self.headers["Authorization"]))
        status, body = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    FakeService.answers, FakeService.asked = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeService)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    serving.join()
    server.server_close()


def test_calls_carry_the_key(url: str) -> None:
    FakeService.answers = {
        "/info": (200, b'{"bundle_id": "old"}'),
        "/bundles/a%2Fb/activate": (200, b'{"bundle_id": "a/b", "previous_bundle_id": "old"}'),
    }
    calls = ServiceCalls(url, "clairo_key")
    assert calls.serving_bundle_id() == "old"
    assert calls.activate("a/b") == "old"
    assert FakeService.asked == [
        ("GET", "/info", "Bearer clairo_key"),
        ("POST", "/bundles/a%2Fb/activate", "Bearer clairo_key"),
    ]


def test_an_error_includes_the_services_detail(url: str) -> None:
    FakeService.answers = {
        "/bundles/new/activate": (409, b'{"detail": "it measured worse"}'),
        "/info": (200, b"<html>"),
    }
    with pytest.raises(TrainingError, match="status 409, it measured worse"):
        ServiceCalls(url).activate("new")
    with pytest.raises(TrainingError, match="no valid response"):
        ServiceCalls(url).serving_bundle_id()


@pytest.mark.parametrize("address", ["shop.test", "file:///etc/passwd", "http://", "ftp://shop.test"])
def test_an_address_that_is_not_http_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="expected http"):
        ServiceCalls(address)


def test_the_serving_bundle_is_found_among_the_bundles(serving: Bundle, tmp_path: Path) -> None:
    folder = serving.folder.parent
    assert bundle_of_id(folder, read_manifest(serving.folder).bundle_id) == serving.folder
    with pytest.raises(SettingsError, match="--serving"):
        bundle_of_id(folder, "another")
    with pytest.raises(SettingsError, match="--serving"):
        bundle_of_id(tmp_path / "nowhere", "another")


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("clairo_key\n")
    assert read_key(file) == "clairo_key"
    assert read_key(None) is None
    file.write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        read_key(file)


@pytest.mark.parametrize("since", ["", "yesterday", "d", "1e999d", "-", "31.12.2025"])
def test_a_since_that_is_not_a_time_is_refused(since: str) -> None:
    with pytest.raises(SettingsError, match="2026-01-31"):
        parsed_since(since, datetime.now(UTC))


def test_a_since_has_a_zone_or_is_utc() -> None:
    now = datetime.now(UTC)
    assert parsed_since("1970-01-01T02:00:00+02:00", now) == 0
    assert parsed_since("1.5d", now) == now.timestamp() - 1.5 * 86400


def test_an_item_without_content_is_added_too(serving: Bundle) -> None:
    recommender = serving.recommender("cpu", num_views=1, num_beams=10)
    carried = with_items_carried(serving, recommender, [*serving.items, Item(item_id="bare")])
    assert len(carried.catalogue) == NUM_ITEMS + 1
    assert np.isfinite(carried.catalogue.feature_sets).all()
