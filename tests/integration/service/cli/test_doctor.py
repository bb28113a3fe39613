"""`clairo-serve doctor`: findings for working and broken parts."""

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.commands import app
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(autouse=True)
def _no_settings_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLAIRO_")]:
        monkeypatch.delenv(name)


def doctor(*flags: str, exit_code: int) -> dict[str, str]:
    """Run the doctor and return its lines by subject."""
    result = CliRunner().invoke(app, ["doctor", "--device", "cpu", *flags])
    assert result.exit_code == exit_code, result.output
    findings: dict[str, str] = {}
    for line in result.stdout.splitlines():
        state, _, rest = line.partition(" ")
        subject = rest.split()[0] if state else list(findings)[-1]
        findings[subject] = f"{findings.get(subject, '')} {line}"
    return findings


def test_a_working_service_is_ok_and_nothing_is_created(bundle: Path, tmp_path: Path) -> None:
    findings = doctor("--bundle", str(bundle), "--data-dir", str(tmp_path / "data"), exit_code=0)
    assert [line.split()[0] for line in findings.values()] == ["ok"] * 7
    assert "all digests match" in findings["bundle"]
    assert not (tmp_path / "data").exists()


def test_a_damaged_bundle_names_the_file_and_the_next_step(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    (copy / "generator" / "model.safetensors").write_bytes(b"")
    findings = doctor("--bundle", str(copy), "--data-dir", str(tmp_path), exit_code=1)
    assert findings["bundle"].split()[0] == "broken"
    assert "model.safetensors" in findings["bundle"]
    assert "-> copy the bundle again" in findings["bundle"]


def test_a_file_that_is_not_a_database_is_broken(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "clairo.db").write_bytes(b"this is not a database, and too long for an empty one" * 20)
    findings = doctor("--bundle", str(bundle), "--data-dir", str(tmp_path), exit_code=1)
    assert findings["database"].split()[0] == "broken"


def test_database_and_redis_that_are_down_are_shown_without_passwords(bundle: Path, tmp_path: Path) -> None:
    findings = doctor(
        *("--bundle", str(bundle), "--data-dir", str(tmp_path)),
        *("--database-url", "postgresql+psycopg://shop:hidden-word@127.0.0.1:1/clairo"),
        *("--redis-url", "redis://:hidden-word@127.0.0.1:1/0"),
        exit_code=1,
    )
    assert findings["database"].split()[0] == "broken"
    assert findings["redis"].split()[0] == "warning"
    assert "hidden-word" not in str(findings)


def test_a_missing_device_is_broken(bundle: Path, tmp_path: Path) -> None:
    findings = doctor("--bundle", str(bundle), "--data-dir", str(tmp_path), "--device", "mps", exit_code=1)
    assert findings["device"].split()[0] == "broken"
    assert "CLAIRO_DEVICE=cpu" in findings["device"]


def test_invalid_settings_end_it_at_once(bundle: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--bundle", str(bundle), "--device", "toaster"])
    assert result.exit_code == 2
