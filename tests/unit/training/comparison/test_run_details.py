"""Details of a run: codes in use, collisions, training curves, answering times."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.comparison.run_details import RunDetails, details_of_bundle, load_details

MEASURED = {
    "num_views": 1,
    "num_beams": 20,
    "ndcg_at_10": 0.25,
    "standard_error": 0.01,
    "milliseconds": 4.0,
    "chosen_for": ["fast", "balanced"],
}


def test_use_of_codes_and_collisions_worked_by_hand() -> None:
    # Two of three codes in the first codebook, equally often; items 0 and 2 share all their codes.
    feature_sets = np.array([[0, 1, 0], [2, 1, 0], [0, 1, 1], [2, 0, 0]])
    fit = {"losses": [2.0, 1.0], "validation_ndcgs": [0.1, 0.2]}
    details = details_of_bundle({"fit": fit}, feature_sets, ("a", "b", "collision"), (3, 2, 4), (1.0,))
    first, second = details.categories
    assert (first.name, first.size, first.num_used) == ("a", 3, 2)
    assert first.perplexity == pytest.approx(2.0)
    assert second.num_used == 2
    assert 1.0 < second.perplexity < 2.0
    assert details.share_colliding == 0.5
    assert details.curve is not None
    assert details.curve.validation_ndcgs == (0.1, 0.2)


def test_details_survive_a_round_trip_through_a_file(tmp_path: Path) -> None:
    metrics = {"serving": {"measured": [MEASURED]}}
    details = details_of_bundle(metrics, np.array([[0, 0]]), ("a", "collision"), (3, 2), (1.5, 2.5))
    for written in (details, RunDetails()):
        written.save(tmp_path / "details.json")
        assert load_details(tmp_path / "details.json") == written


def test_details_of_before_have_no_searches(tmp_path: Path) -> None:
    before = {"milliseconds": [1.0], "curve": None, "categories": [], "share_colliding": 0.0}
    (tmp_path / "details.json").write_text(json.dumps(before), encoding="utf-8")
    assert load_details(tmp_path / "details.json") == RunDetails((1.0,))
