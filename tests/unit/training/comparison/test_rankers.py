"""Parts of a bundle that can rank beside the whole."""

import json
from pathlib import Path

import pytest

from training.comparison.rankers import parts_of


@pytest.mark.parametrize(
    ("files", "settings", "alone", "num_left_out"),
    [
        ({"generator/config.json": ""}, {}, (), 0),
        ({"ranking/mixture/mixture.json": ""}, {}, ("generator", "dense head"), 4),
        ({"ranking/mixture/mixture.json": ""}, {"mix": {"kind": "fitted"}}, ("generator", "dense head"), 4),
        ({"ranking/mixture/mixture.json": ""}, {"mix": {"kind": "dense_reranks"}}, ("generator", "dense head"), 0),
    ],
)
def test_a_part_is_left_out_only_where_weights_can_be_fitted_for_the_others(
    files: dict[str, str], settings: dict[str, object], alone: tuple[str, ...], num_left_out: int, tmp_path: Path
) -> None:
    manifest = {"files": files, "settings": settings}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    parts = parts_of(tmp_path)
    assert parts[:2] == alone
    assert [part.startswith("without ") for part in parts[2:]] == [True] * num_left_out
