"""A service that would refuse the new bundle is asked before training."""

from pathlib import Path

import pytest

from clairo_core.errors import TrainingError
from clairo_core.progress import silent
from training.retraining.promotion import ServiceCalls
from training.retraining.retrain import ServiceSource, retrain


def test_a_refused_key_or_address_ends_retraining_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(_: ServiceCalls, method: str, path: str, __: float) -> None:
        asked.append(f"{method} {path}")
        raise TrainingError("status 403, got Host, expected another")

    monkeypatch.setattr(ServiceCalls, "_call", refuse)
    source, out = ServiceSource(promote_url="http://shop.test"), tmp_path / "new"
    with pytest.raises(TrainingError, match="status 403, got Host"):
        retrain(source, out, device="cpu", progress=silent, report=lambda _: None)
    assert asked == ["GET /bundles"]
    assert not list(tmp_path.iterdir())
