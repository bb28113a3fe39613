"""Ids are fitted on what the split of the settings leaves to train."""

from pathlib import Path

import pytest

from clairo_core.errors import DatasetError
from clairo_core.progress import silent
from training.demo_shop import write_demo_shop
from training.ids.make_ids import make_ids


def test_a_split_by_time_holds_out_what_ids_would_be_fitted_on(tmp_path: Path) -> None:
    write_demo_shop(tmp_path / "shop", num_items=20, num_users=20)
    splits = ("split.kind=time", "split.horizon_days=100000")
    with pytest.raises(DatasetError, match="nothing to learn before the validation horizon begins"):
        make_ids(
            tmp_path / "shop",
            tmp_path / "ids.parquet",
            "clairo",
            None,
            overrides=splits,
            seed=0,
            device="cpu",
            progress=silent,
            report=lambda _line: None,
        )
