"""Libraries of encoders report nothing to their makers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clairo_core.encoders.optional_library import NO_REPORTS, optional_library

SESSION = "from clairo_core.encoders.optional_library import optional_library as o; o('onnxruntime', 'onnxruntime')"


def test_onnx_runtime_keeps_no_id_of_this_machine(tmp_path: Path) -> None:
    # In CI, ONNX Runtime reports nothing anyhow.
    inherited = {name: value for name, value in os.environ.items() if name not in (*NO_REPORTS, "CI")}
    environment = {**inherited, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", SESSION], env=environment, check=True, timeout=60)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_operator_who_asks_for_reports_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    optional_library("json", "json")
    assert (os.environ["ORT_DISABLE_TELEMETRY"], os.environ["HF_HUB_DISABLE_TELEMETRY"]) == ("0", "1")
