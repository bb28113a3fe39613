"""The page about a bundle: its figures, map, charts and errors, in a browser and without pictures or measurements."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.errors import BundleManifestError, BundleNotFoundError
from clairo_core.items import Item
from clairo_core.progress import silent
from tests.browser import NAMELESS, TOO_FAINT, opened_page
from tests.repository import REPOSITORY
from tests.tiny import tiny_bundle
from training.cli import app
from training.comparison.item_pictures import row_of_items
from training.report.bundle_figures import comparison_of
from training.report.item_map import FEWEST_ITEMS, map_items, nearest_items
from training.report.map_section import draw_order, picture_sheet
from training.report.write_report import write_report

HOSTILE = "</script><script>document.title='taken'</script>"
MODES = ("allowed", "masked")


class BundleWithoutPictures:
    def read_picture(self, row: int) -> bytes | None:
        return None


def metric(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": value, "low": value - 0.01, "high": value + 0.01}


def measured_metrics() -> dict[str, Any]:
    """As training writes them."""
    names = ("recall@5", "recall@10", "recall@20", "recall@50", "ndcg@5", "ndcg@10", "ndcg@20")
    rankers = {"clairo": 0.3, "generator": 0.2, "dense head": 0.25, "popularity": 0.1}
    rows = [
        {
            "ranker": ranker,
            "seen_items": mode,
            "metrics": [metric(name, value) for name in names],
            "coverage_at_10": 0.5,
            "num_users": 40,
            "gini_at_10": 0.4,
            "mean_popularity": 7.0,
        }
        for mode in MODES
        for ranker, value in rankers.items()
    ]
    slices = [
        {
            "ranker": ranker,
            "seen_items": "masked",
            "kind": kind,
            "label": label,
            "num_users": 20,
            "ndcg_at_10": metric("ndcg@10", value),
        }
        for kind in ("training count", "history length")
        for label in ("<5", "5-9")
        for ranker, value in rankers.items()
    ]
    return {
        "fit": {"losses": [3.0, 2.0, 1.5], "validation_ndcgs": [0.1, 0.2, 0.19]},
        "dense": {"losses": [4.0, 2.5], "validation_ndcgs": [0.2, 0.25]},
        "serving": {
            "measured": [
                {
                    "num_views": views,
                    "num_beams": 10 * views,
                    "ndcg_at_10": 0.3,
                    "standard_error": 0.01,
                    "milliseconds": 1.0 + views,
                    "chosen_for": ["fast"],
                }
                for views in (0, 1)
            ]
        },
        "new_items": {
            "lift": 0.1,
            "share_of_places": 0.1,
            "share_of_targets": 0.12,
            "warm_recall": 0.4,
            "warm_recall_without": 0.42,
            "cold_recall": 0.3,
        },
        "evaluation": {
            "dataset": "tiny shop",
            "split": "validation",
            "num_users": 40,
            "num_users_in_split": 50,
            "rows": rows,
            "slices": slices,
            "gain_over_popularity": [metric("difference", 0.2)] * len(MODES),
            "held_out": {"rule": "leave-last-out", "num_targets": None},
        },
    }


def with_metrics(folder: Path, metrics: dict[str, Any]) -> Path:
    """The manifest has no digest of itself."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"metrics": metrics}))
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A measured bundle with its report, written by the command; one title is hostile."""
    folder = with_metrics(tiny_bundle(tmp_path_factory.mktemp("report") / "tiny"), measured_metrics())
    items = folder / "items" / "items.jsonl"
    lines = items.read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"texts": {"title": HOSTILE}})
    items.write_text("\n".join(lines) + "\n")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["items/items.jsonl"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = (folder / "manifest.json").read_bytes()
    result = CliRunner().invoke(app, ["report", str(folder)])
    assert result.exit_code == 0, result.output
    assert (folder / "manifest.json").read_bytes() == before
    return folder


@pytest.fixture(scope="module")
def page(bundle: Path) -> str:
    return (bundle / "report" / "report.html").read_text(encoding="utf-8")


def test_the_bundle_stands_beside_its_parts_as_training_measured_them(bundle: Path) -> None:
    comparison = comparison_of(load_bundle(bundle))
    assert comparison.rankers == ("popularity", "generator", "dense head", "tiny")
    assert comparison.modes == MODES
    assert comparison.figure("tiny", "masked", "ndcg@10").value == 0.3
    assert comparison.figure("generator", "masked", "ndcg@10", "<5", "training count").num_users == 20
    (gain,) = comparison.shown_differences("masked")
    assert (gain.ranker, gain.other, gain.value) == ("tiny", "popularity", 0.2)
    curves = {ranker: run.curve.losses for ranker, (run,) in comparison.details.items() if run.curve}
    assert curves == {"generator": (3.0, 2.0, 1.5), "dense head": (4.0, 2.5)}


def test_the_page_has_a_section_for_each_thing_that_the_bundle_knows(page: str) -> None:
    for heading in (
        "NDCG@10 by training count of the target",
        "Map of the catalogue",
        "New items",
        "What merges mean",
        "Items behind a code",
        "Training loss",
        "Use of the codes",
        "Searches",
    ):
        assert f"<h2>{heading}</h2>" in page


def test_the_page_loads_nothing_and_no_title_becomes_markup(page: str) -> None:
    assert HOSTILE not in page
    assert page.count("<script") == 2
    assert "http://" not in page
    assert "https://" not in page


def test_in_a_browser_an_item_is_found_and_its_neighbours_are_shown(bundle: Path) -> None:
    with opened_page(f"file://{bundle / 'report' / 'report.html'}") as shown:
        assert shown.title() == "tiny shop, tiny: report"
        shown.fill("#map-search", "mug")
        shown.wait_for_selector("#map-card:not([hidden])")
        first = shown.text_content("#map-card") or ""
        assert "mug" in first
        assert "Nearest" in first
        shown.press("#map-search", "Enter")
        assert shown.text_content("#map-card") != first
        shown.keyboard.press("Escape")
        assert shown.is_hidden("#map-card")
        shown.click("text=may be recommended, as in most papers")
        assert shown.is_visible("div.allowed")
        assert shown.is_hidden("div.masked")
        shown.click("#map-in")
        shown.hover("#map-canvas")
        for scheme in ("light", "dark"):
            shown.emulate_media(color_scheme=scheme)
            assert shown.evaluate(TOO_FAINT) == []
        assert shown.evaluate(NAMELESS) == []
        shown.set_viewport_size({"width": 390, "height": 844})
        assert shown.evaluate("document.documentElement.scrollWidth") == 390


def test_charts_hold_the_figures_of_the_page(bundle: Path) -> None:
    charts = bundle / "report" / "charts"
    names = {path.stem for path in charts.iterdir()}
    assert names == {
        "quality",
        "training-count",
        "history-length",
        "training-loss",
        "validation",
        "codebooks",
        "searches",
        "map",
    }
    assert all((charts / f"{name}.pdf").read_bytes().startswith(b"%PDF") for name in names)
    with (charts / "quality.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["ranker"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
    assert rows["tiny", "ndcg@10"] == 0.3
    with (charts / "map.csv").open(encoding="utf-8", newline="") as file:
        assert [row["item_id"] for row in csv.DictReader(file)] == [f"item-{row}" for row in range(60)]


def test_a_second_report_is_the_same_to_the_byte(bundle: Path) -> None:
    files = [path for path in (bundle / "report").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    write_report(bundle, None, silent, lambda _: None)
    assert {path: path.read_bytes() for path in files} == before


def test_a_bundle_without_measurements_and_without_embeddings_gets_a_page(tmp_path: Path) -> None:
    folder = with_metrics(tiny_bundle(tmp_path / "codes", can_ingest=False), {})
    page = write_report(folder, None, silent, lambda _: None).read_text(encoding="utf-8")
    assert "Training measured nothing" in page
    assert "Items behind a code" in page
    assert "Map of the catalogue" not in page
    load_bundle(folder)


def test_figures_of_releases_before_slices_and_breadth_are_shown_without_them(bundle: Path, tmp_path: Path) -> None:
    metrics = measured_metrics()
    for name in ("slices", "held_out"):
        del metrics["evaluation"][name]
    for row in metrics["evaluation"]["rows"]:
        for name in ("gini_at_10", "mean_popularity", "num_users"):
            del row[name]
    old = with_metrics(Path(shutil.copytree(bundle, tmp_path / "old")), metrics)
    comparison = comparison_of(load_bundle(old))
    assert comparison.num_targets("masked") == 40
    assert not comparison.slice_sizes("masked", "training count")
    assert np.isnan(comparison.breadth("tiny", "masked").gini)


def test_metrics_that_cannot_be_read_are_refused_by_name(bundle: Path, tmp_path: Path) -> None:
    metrics = measured_metrics()
    del metrics["evaluation"]["rows"][0]["metrics"][0]["low"]
    damaged = with_metrics(Path(shutil.copytree(bundle, tmp_path / "damaged")), metrics)
    with pytest.raises(BundleManifestError, match=r"metrics of bundle .* cannot be read \(KeyError\('low'\)\)"):
        comparison_of(load_bundle(damaged))


def test_a_folder_without_a_bundle_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path / "nowhere")])
    assert isinstance(result.exception, BundleNotFoundError)
    assert "nowhere: no bundle here" in str(result.exception)


def test_without_the_extra_the_command_names_it(bundle: Path) -> None:
    program = (
        "import runpy, sys; sys.modules['umap'] = None; "
        f"sys.argv[1:] = ['report', {str(bundle)!r}]; runpy.run_module('training.cli', None, '__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "clairo-train report needs clairo[report], but the package umap is missing" in line


def test_the_map_puts_groups_apart_and_leaves_out_items_without_content() -> None:
    random = np.random.default_rng(0)
    group = np.arange(60) % 3
    vectors = (np.eye(8)[group] * 5 + random.normal(size=(60, 8))).astype(np.float32)
    vectors[7] = 0
    found = map_items(vectors)
    assert found is not None
    assert found.rows.tolist() == [row for row in range(60) if row != 7]
    assert found.places.min() >= 0
    assert found.places.max() == pytest.approx(1)
    centres = np.stack([found.places[group[found.rows] == one].mean(axis=0) for one in range(3)])
    nearest = np.linalg.norm(found.places[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == group[found.rows]).mean() > 0.9
    assert map_items(vectors[: FEWEST_ITEMS - 1]) is None


@given(arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.sampled_from([-1.0, 0.5, 2.0])))
@settings(max_examples=40)
def test_the_nearest_items_are_those_of_the_slow_reference(vectors: np.ndarray) -> None:
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    count = min(4, len(vectors))
    nearest, distances = nearest_items(vectors, count)
    assert nearest[:, 0].tolist() == list(range(len(vectors)))
    for row, (of_row, away) in enumerate(zip(nearest.tolist(), distances.tolist(), strict=True)):
        others = sorted(
            max(0.0, 1 - float(vectors[row] @ vector)) for other, vector in enumerate(vectors) if other != row
        )
        assert len(set(of_row)) == count
        assert away[1:] == pytest.approx(others[: count - 1], abs=1e-5)


def test_without_any_picture_items_are_words_and_dots() -> None:
    bare = [Item(item_id="a", texts={"title": "mug"}), Item(item_id="b", texts={"title": "cup"})]
    assert "<span class" not in row_of_items("new", "", bare)
    assert picture_sheet(BundleWithoutPictures(), np.arange(3)) == (None, [-1, -1, -1])


def test_new_items_take_their_place_on_the_map_first_then_popular_ones() -> None:
    vectors = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    found = map_items(vectors)
    assert found is not None
    popularity = np.array([3, 0, 9, 1, 0, 2, 2, 2, 2, 2, 2, 2])
    assert draw_order(found, popularity)[:4].tolist() == [1, 4, 2, 0]
