"""Errors of `clairo-serve run`: one line, no traceback, an exit code."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.commands import _listening_socket, app
from tests.repository import REPOSITORY
from tests.tiny import tiny_bundle


@pytest.fixture(scope="module")
def whole_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture
def bundle(whole_bundle: Path, tmp_path: Path) -> Path:
    """A copy for the test to damage."""
    copy = tmp_path / "bundle"
    for path in whole_bundle.rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(whole_bundle)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return copy


@pytest.fixture(autouse=True)
def _no_settings_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLAIRO_")]:
        monkeypatch.delenv(name)


def error_of(bundle: Path, *flags: str, data_dir: Path, exit_code: int = 1) -> str:
    command = ["run", "--bundle", str(bundle), "--data-dir", str(data_dir), "--port", "0", "--device", "cpu", *flags]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("clairo-serve: ")
    return lines[0]


def test_a_missing_bundle(tmp_path: Path) -> None:
    assert "no bundle here" in error_of(tmp_path / "nowhere", data_dir=tmp_path)


def test_a_truncated_bundle_names_the_file(bundle: Path, tmp_path: Path) -> None:
    weights = bundle / "generator" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors" in error_of(bundle, data_dir=tmp_path)


def test_a_bundle_without_one_of_its_files(bundle: Path, tmp_path: Path) -> None:
    (bundle / "popularity.npz").unlink()
    assert "popularity.npz" in error_of(bundle, data_dir=tmp_path)


def test_a_bundle_from_a_newer_release(bundle: Path, tmp_path: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    assert "schema 99" in error_of(bundle, data_dir=tmp_path)


def test_a_manifest_that_is_not_json(bundle: Path, tmp_path: Path) -> None:
    (bundle / "manifest.json").write_text('{"schema_ver')
    assert "manifest.json" in error_of(bundle, data_dir=tmp_path)


def test_a_database_from_a_newer_release(bundle: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "clairo.db")
    connection.execute("CREATE TABLE clairo_schema_version (version INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO clairo_schema_version VALUES (99)")
    connection.commit()
    connection.close()
    assert "schema version 99" in error_of(bundle, data_dir=tmp_path)


def test_a_file_that_is_not_a_database(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "clairo.db").write_bytes(b"this is not a database, this is text" * 100)
    assert "clairo.db: file is not a database" in error_of(bundle, data_dir=tmp_path)


def test_a_data_folder_that_cannot_be_created(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "cannot create this folder" in error_of(bundle, data_dir=tmp_path / "file" / "data")


def test_a_port_in_use(bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"port {port}" in error_of(bundle, "--port", str(port), data_dir=tmp_path)


def test_a_port_is_taken_before_the_bundle_is_loaded() -> None:
    # Linux lets several sockets bind one port until one of them listens.
    with _listening_socket("127.0.0.1", 0) as first, pytest.raises(SystemExit):
        _listening_socket("127.0.0.1", first.getsockname()[1])


def test_a_host_that_is_not_ours(bundle: Path, tmp_path: Path) -> None:
    error = error_of(bundle, "--host", "192.0.2.1", "--allow-open-network", data_dir=tmp_path)
    assert "cannot listen on 192.0.2.1" in error


def test_a_misspelt_variable(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIRO_DEVISE", "cpu")
    assert "did you mean CLAIRO_DEVICE?" in error_of(bundle, data_dir=tmp_path, exit_code=2)


def test_a_missing_device(bundle: Path, tmp_path: Path) -> None:
    assert "toaster" in error_of(bundle, "--device", "toaster", data_dir=tmp_path, exit_code=2)


def test_help_describes_every_option() -> None:
    result = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "Bundle to serve" in result.output
    assert "Port to listen on; 0 picks a free one. (default: 8000)" in result.output


def test_answers_on_a_kept_connection_are_not_delayed() -> None:
    with _listening_socket("127.0.0.1", 0) as listening:
        # asyncio checks it before it switches Nagle's algorithm off.
        assert listening.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("module", "left_out"),
    [
        ("service.cli", ("torch", "fastapi", "numba")),
        ("service.cli.server", ("sklearn", "transformers", "faiss")),
        ("service.items.picture_process", ("torch", "fastapi", "sqlalchemy")),
    ],
)
def test_slow_imports_wait_until_needed(module: str, left_out: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print([name for name in {left_out!r} if name in sys.modules])"
    root = REPOSITORY
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert ended.stdout.strip() == "[]"
