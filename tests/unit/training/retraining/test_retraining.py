"""Parts of retraining: the newest interactions, the serving bundle's items, and the calls to the service."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import BundleManifest, read_manifest
from clairo_core.errors import SettingsError, TrainingError
from clairo_core.events import EventType, InteractionRules
from clairo_core.items import Item, UserHistory
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from service.bundles.not_worse import check_not_worse, refusal_by_retraining
from service.cli.store_commands import parsed_since
from service.errors import WorseBundleError
from tests.tiny import tiny_bundle, tiny_items
from training.config.preset import TIME, SplitSettings
from training.datasets.dataset import Dataset, build_dataset
from training.evaluation.metrics import Metric, TargetRanks, ndcg_at
from training.evaluation.split import split_by, test_split
from training.retraining.against_serving import (
    NOT_WORSE_THAN,
    AgainstServing,
    chance_ndcg,
    compare_with_serving,
    day_after,
    newest_split,
    serving_since,
    with_items_carried,
)
from training.retraining.promotion import ServiceCalls, bundle_of_id, read_key
from training.retraining.service_tables import newest_discoveries

NUM_ITEMS = 30


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(tiny_bundle(tmp_path_factory.mktemp("bundles") / "serving", num_items=NUM_ITEMS))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Three items more than the bundle has, and a user who ends at each of the last four, viewing it twice."""
    items = tiny_items(NUM_ITEMS + 3)
    targets = [NUM_ITEMS - 1, NUM_ITEMS, NUM_ITEMS + 1, NUM_ITEMS + 2]
    sequences = [[user, user + 1, target, target] for user, target in enumerate(targets)]
    users = ("ann", "bob", "cem", "dan", "eve")
    return build_dataset("shop", items, users, ItemSequences.from_lists([*sequences, [5, 6]]))


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
        progress=silent,
    )


def test_only_users_who_met_a_new_item_since_the_serving_bundle_was_made_count(dataset: Dataset) -> None:
    split = newest_split(dataset, {"ann": 5.0, "bob": 10.0, "cem": 10.1, "dan": 99.0, "eve": 99.0}, made_at=10.0)
    assert [dataset.user_ids[row] for row in split.user_rows] == ["cem", "dan"]
    assert split.targets.tolist() == [NUM_ITEMS + 1, NUM_ITEMS + 2]
    assert [list(history) for history in split.histories] == [[2, 3], [3, 4]]


def test_by_time_everything_since_the_serving_bundle_was_made_counts(serving: Bundle, dataset: Dataset) -> None:
    made_at = serving_since(serving)
    made_on = made_at / 86_400
    # Two events before it was made, two of one item after; one each of eve's.
    days = np.float32([*[made_on - 9, made_on - 8, made_on + 2, made_on + 2] * 4, made_on - 5, made_on + 1])
    dated = split_by(replace(dataset, days=days), SplitSettings(TIME, horizon_days=1), day_after(made_at))
    split = newest_split(dated, {}, made_at)
    assert split.is_same_as(test_split(dated))
    assert [list(history) for history in split.histories] == [*([user, user + 1] for user in range(4)), [5]]
    assert split.target_items.tolist() == [NUM_ITEMS - 1, NUM_ITEMS, NUM_ITEMS + 1, NUM_ITEMS + 2, 6]
    against = compared(serving, serving, dated, {})
    assert against.held_out.startswith("split by time, from ")
    assert str(against).startswith(f"{against.held_out}, newest items of 5 users")
    assert against.refusal == "5 users' targets are too few to compare on, expected at least 20"


def test_a_random_order_finds_several_targets_as_often_as_all_orders_do() -> None:
    orders = list(permutations(range(4)))
    ranks = TargetRanks(np.array([order[:2] for order in orders]).ravel() + 1, np.full(len(orders), 2))
    assert chance_ndcg(4, 2) == pytest.approx(ndcg_at(ranks, 10).mean())


def test_without_new_interactions_nothing_is_measured_or_promoted(serving: Bundle, dataset: Dataset) -> None:
    against = compared(serving, serving, dataset, dict.fromkeys(dataset.user_ids, 0.0))
    assert against.refusal == "0 targets are too few to compare on, expected at least 20"
    assert "nothing to measure on" in str(against)
    metrics = {"against_serving": against.as_dict()}
    assert refusal_by_retraining(metrics, serving.manifest.bundle_id) == against.refusal


def test_a_bundle_is_as_good_as_itself(serving: Bundle, dataset: Dataset) -> None:
    against = compared(serving, serving, dataset, dict.fromkeys(dataset.user_ids, 9e9))
    assert against.num_users == 4
    assert against.ndcg_at_10 == against.serving_ndcg_at_10
    assert against.refusal == "4 targets are too few to compare on, expected at least 20"
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


def test_the_newest_discovery_is_of_a_known_item_and_no_repeat(tmp_path: Path) -> None:
    events = [("ann", "a", 5), ("ann", "b", 3.5), ("ann", "gone", 9), ("bob", "gone", 1), ("ann", "b", 7)]
    rows = [json.dumps({"user_id": user, "item_id": item, "timestamp": at}) for user, item, at in events]
    (tmp_path / "interactions.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert newest_discoveries(tmp_path, {"a", "b"}) == {"ann": 5.0}
    assert newest_discoveries(tmp_path, {"c"}) == {}


def test_only_a_target_that_is_not_disliked_is_a_discovery(tmp_path: Path) -> None:
    events = [
        ("ann", "a", "purchase", 1),
        ("ann", "b", "view", 9),
        ("bob", "a", "purchase", 1),
        ("bob", "b", "purchase", 5),
        ("bob", "b", "dislike", 6),
        ("cat", "b", "dislike", 2),
    ]
    rows = [{"user_id": user, "item_id": item, "type": kind, "timestamp": at} for user, item, kind, at in events]
    (tmp_path / "interactions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    by_type = InteractionRules(targets=("purchase",))
    assert newest_discoveries(tmp_path, {"a", "b"}, by_type) == {"ann": 1.0, "bob": 1.0}
    assert newest_discoveries(tmp_path, {"a", "b"}) == {"ann": 9.0, "bob": 1.0}


# --- the service's use of the figures


def manifest(bundle: Bundle, bundle_id: str, metrics: dict[str, Any]) -> BundleManifest:
    return replace(bundle.manifest, bundle_id=bundle_id, metrics=metrics)


def compared_on(
    num_users: int, value: float, serving_value: float, low: float = 0.1, num_items: int = 3, half: float = 0.0
) -> AgainstServing:
    """Figures whose advantage over chance, .1, has an interval from `low`, and their difference one of +- `half`."""
    above = Metric("above", value - 0.1, low, 1.0)
    difference = value - serving_value
    paired = Metric("difference", difference, difference - half, difference + half)
    return AgainstServing("old", num_users, value, serving_value, paired, 0, 0.1, above, num_items, 0.1)


def test_the_margin_is_stored_with_the_figures(serving: Bundle, dataset: Dataset) -> None:
    against_itself = compared(serving, serving, dataset, dict.fromkeys(dataset.user_ids, 9e9))
    assert against_itself.as_dict()["not_worse_than"] == NOT_WORSE_THAN


def against(serving_value: float, value: float) -> dict[str, Any]:
    return {"against_serving": compared_on(99, value, serving_value).as_dict()}


@pytest.mark.parametrize(
    ("of_both", "why"),
    [
        (compared_on(20, 0.2, 0.2), None),
        (compared_on(19, 0.9, 0.2), "19 targets are too few"),
        (compared_on(50, 0.9, 0.2, num_items=2), "of all 50 users are 2 items"),
        # A tenth of .2 may be lost, and no more of it is inside the interval.
        (compared_on(20, 0.2, 0.2, half=0.0199), None),
        (compared_on(20, 0.19, 0.2, half=0.0099), None),
        (compared_on(20, 0.2, 0.2, half=0.0201), "may be 0.0201 below the serving bundle's 0.2000, expected at most"),
        (compared_on(20, 0.19, 0.2, half=0.0101), "may be 0.0201 below the serving bundle's 0.2000"),
        # A higher mean alone is no evidence.
        (compared_on(20, 0.21, 0.2, half=0.04), "of 0.2100 on 20 targets may be 0.0300 below"),
        (compared_on(50, 0.0, 0.0, -0.1), "is not clearly above chance, 0.1000"),
        (compared_on(50, 0.3, 0.0, 0.06), "is not clearly above chance, 0.1000"),
    ],
)
def test_a_bundle_is_promoted_on_evidence_alone(serving: Bundle, of_both: AgainstServing, why: str | None) -> None:
    metrics = json.loads(json.dumps({"against_serving": of_both.as_dict()}))
    old, new = manifest(serving, "old", {"ndcg@10": 0.9}), manifest(serving, "new", metrics)
    if why is None:
        assert of_both.refusal is None
        check_not_worse(new, old)
        return
    assert of_both.refusal is not None
    assert why in of_both.refusal
    # The service reads the same verdict.
    with pytest.raises(WorseBundleError, match=re.escape(of_both.refusal)):
        check_not_worse(new, old)


def test_a_comparison_stored_by_an_earlier_release_still_decides(serving: Bundle) -> None:
    old, figures = manifest(serving, "old", {"ndcg@10": 0.9}), ("num_users", "ndcg_at_10", "serving_ndcg_at_10")

    def stored(*values: float | None) -> BundleManifest:
        before = dict(zip(figures, values, strict=True)) | {"serving_bundle_id": "old"}
        return manifest(serving, "new", {"ndcg@10": 1.0, "against_serving": before})

    check_not_worse(stored(40, 0.3, 0.3), old)
    for values in ((40, 0.2, 0.3), (40, 0.0, 0.0), (0, None, None)):
        with pytest.raises(WorseBundleError):
            check_not_worse(stored(*values), old)


def evaluated(value: float, **of_split: object) -> dict[str, Any]:
    split = {"split": "test", "num_users": 100, "num_users_in_split": 100} | of_split
    return {"evaluation": {**split, "rows": [{"metrics": [{"name": "ndcg@10", "value": value}]}]}}


def test_own_evaluations_compare_bundles_on_the_same_targets_alone(serving: Bundle) -> None:
    old = manifest(serving, "old", evaluated(0.2))
    check_not_worse(manifest(serving, "new", evaluated(0.2)), old)
    other_data = replace(manifest(serving, "new", evaluated(0.9)), dataset_fingerprint="another")
    of_purchases = InteractionRules(types={"purchase": EventType(), "view": EventType()}, targets=("purchase",))
    masked = evaluated(0.9)
    masked["evaluation"]["rows"][0]["seen_items"] = "masked"
    by_time = evaluated(0.9, held_out={"rule": "split by time, test from 2026-01-10 00:00 UTC"})
    check_not_worse(manifest(serving, "new", evaluated(0.2, held_out={"rule": "leave-last-out"})), old)
    for new, why in (
        (other_data, "dataset another, the served bundle "),
        (manifest(serving, "new", evaluated(0.9, num_users=50)), "users 50, the served bundle 100"),
        # Releases before measured on test, and this one on validation.
        (manifest(serving, "new", evaluated(0.9, split="validation")), "split validation, the served bundle test"),
        (manifest(serving, "new", by_time), "held out split by time, test from .*, the served bundle leave-last-out"),
        (manifest(serving, "new", masked), "seen items masked, the served bundle None"),
        (
            replace(manifest(serving, "new", evaluated(0.9)), interactions=of_purchases.as_dict()),
            "event types \\['purchase'\\], the served bundle \\[\\]",
        ),
    ):
        with pytest.raises(WorseBundleError, match=f"not measured on the same targets.*{why}"):
            check_not_worse(new, old)


def test_a_bundles_own_figure_is_that_with_seen_items_masked(serving: Bundle) -> None:
    def rows(**figures: float) -> dict[str, Any]:
        by_mode = [
            {"seen_items": mode, "metrics": [{"name": "ndcg@10", "value": value}]} for mode, value in figures.items()
        ]
        return {"evaluation": evaluated(0.0)["evaluation"] | {"rows": by_mode}}

    # A release of before lifted repeats in the allowed row; its masked row means what it does now.
    old = manifest(serving, "old", rows(allowed=0.3, masked=0.2))
    check_not_worse(manifest(serving, "new", rows(allowed=0.1, weighed=0.3, masked=0.2)), old)
    with pytest.raises(WorseBundleError, match=r"0\.1900, the served bundle has 0\.2000"):
        check_not_worse(manifest(serving, "new", rows(allowed=0.9, weighed=0.9, masked=0.19)), old)
    check_not_worse(
        manifest(serving, "new", rows(allowed=0.3, weighed=0.3)), manifest(serving, "old", rows(allowed=0.3))
    )


@pytest.mark.parametrize(
    ("value", "serving_value", "why"),
    [
        ({}, evaluated(0.2), "it has no measured"),
        (evaluated(0.2), {}, "the served bundle has no measured"),
        ({}, {}, "it has no measured"),
        (evaluated(0.0), evaluated(0.0), "neither bundle finds any target"),
        (evaluated(0.1), evaluated(0.2), "is 0.1000, the served bundle has 0.2000"),
    ],
)
def test_a_bundle_without_evidence_is_refused(
    serving: Bundle, value: dict[str, Any], serving_value: dict[str, Any], why: str
) -> None:
    with pytest.raises(WorseBundleError, match=why) as refused:
        check_not_worse(manifest(serving, "new", value), manifest(serving, "old", serving_value))
    assert "allow_worse=true" in str(refused.value)


def test_a_direct_comparison_takes_precedence_over_each_bundles_own_figure(serving: Bundle) -> None:
    old = manifest(serving, "old", {"ndcg@10": 0.9})
    check_not_worse(manifest(serving, "new", {"ndcg@10": 0.1} | against(0.2, 0.2)), old)
    with pytest.raises(WorseBundleError, match=r"0\.1700 .* 0\.2000"):
        check_not_worse(manifest(serving, "new", {"ndcg@10": 1.0} | against(0.2, 0.17)), old)
    # Compared with another bundle than the serving one: each bundle's own figure counts.
    with pytest.raises(WorseBundleError):
        check_not_worse(
            manifest(serving, "new", {"ndcg@10": 0.1} | against(0.2, 0.9)), manifest(serving, "newer", {"ndcg@10": 0.9})
        )


@pytest.mark.parametrize("metrics", [{}, {"against_serving": 3}, {"against_serving": {"serving_bundle_id": "old"}}])
def test_metrics_without_a_comparison_with_the_served_bundle_decide_nothing(metrics: dict[str, Any]) -> None:
    assert refusal_by_retraining(metrics, "other") is None


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
