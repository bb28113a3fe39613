"""The image's libraries are the lock's; what the build needs reaches the builder. pip and python are fakes."""

import ast
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from tests.repository import REPOSITORY

DOCKER = REPOSITORY / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
FAKE_PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$PIP_CONSTRAINT" "$@" >> installs.txt\\n' > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""


def locked(name: str) -> str:
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    (version,) = re.findall(rf"^{name}==(\S+)", text, re.MULTILINE)
    return f"{name}=={version}"


def installs(folder: Path, processor: str, **variables: str) -> list[str]:
    """What the script asks pip for, one line a call."""
    script = (DOCKER / "install_libraries.sh").read_text(encoding="utf-8")
    script = script.replace("/opt/clairo", str(folder / "venv")).replace(
        "/tmp/constraints", str(folder / "constraints")
    )
    shutil.copy(REPOSITORY / "requirements.lock", folder)
    (folder / "install.sh").write_text(script, encoding="utf-8")
    (folder / "python").write_text(FAKE_PYTHON, encoding="utf-8")
    (folder / "python").chmod(0o755)
    subprocess.run(
        ["sh", "install.sh", processor],
        cwd=folder,
        env={"PATH": f"{folder}:{os.environ['PATH']}", **variables},
        check=True,
        capture_output=True,
    )
    return (folder / "installs.txt").read_text(encoding="utf-8").splitlines()


def test_torch_without_cuda_comes_from_its_index_in_the_locked_version(tmp_path: Path) -> None:
    torch, others = installs(tmp_path, "cpu", TORCH_INDEX="https://index.example/cpu")
    assert torch.split() == f"install --no-deps --index-url https://index.example/cpu {locked('torch')}".split()
    assert others.split() == [str(tmp_path / "constraints.txt"), "install", ".[train,serve]", locked("onnxruntime")]


@pytest.mark.parametrize(("processor", "index"), [("cpu", ""), ("gpu", "https://index.example/cpu")])
def test_without_an_index_and_for_a_gpu_torch_is_the_locked_one(tmp_path: Path, processor: str, index: str) -> None:
    torch, others = installs(tmp_path, processor, TORCH_INDEX=index)
    assert torch.split() == ["install", "--no-deps", locked("torch")]
    assert others.endswith("onnxruntime-gpu") == (processor == "gpu")


def test_another_torch_replaces_the_locked_one(tmp_path: Path) -> None:
    torch, _ = installs(tmp_path, "cpu", TORCH="torch==1.0+cpu", TORCH_INDEX="https://index.example/cpu")
    assert torch.split() == ["install", "--no-deps", "torch==1.0+cpu"]


def test_every_other_library_is_held_to_the_lock(tmp_path: Path) -> None:
    installs(tmp_path, "gpu")
    held = (tmp_path / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch" not in {line.split("==")[0] for line in held}
    assert locked("onnxruntime-gpu") in {line.split(" ;")[0] for line in held}
    assert not [line for line in held if not re.fullmatch(r"[a-z0-9-]+==\S+( ; .*[^\\ ])?", line)]


def test_every_file_that_the_build_copies_reaches_the_builder() -> None:
    allowed = {
        line[1:] for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    (copied,) = re.findall(r"^COPY (requirements.lock .*) \./$", DOCKERFILE, re.MULTILINE)
    assert set(copied.split()) <= allowed
    assert {"clairo_client", "clairo_core", "training", "service"} <= allowed
    assert all((REPOSITORY / name).exists() for name in allowed)


def test_the_image_runs_as_a_numbered_user_and_checks_its_health() -> None:
    # Kubernetes cannot check a name for runAsNonRoot.
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", DOCKERFILE, re.MULTILINE)
    assert "NUMBA_CACHE_DIR" not in DOCKERFILE, "on a read-only root, numba refuses a folder that it cannot write"


class FakeHealth(BaseHTTPRequestHandler):
    """Answers with the server's status."""

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/health/ready" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_the_health_check_asks_the_service_itself_whatever_proxy_the_container_has() -> None:
    (in_image,) = re.findall(r"^HEALTHCHECK.*\n\s+CMD (.*)$", DOCKERFILE, re.MULTILINE)
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
    _, interpreter, flag, program = compose["services"]["clairo"]["healthcheck"]["test"]
    assert ast.literal_eval(in_image) == [interpreter, flag, program] == ["python", "-c", program]
    server = HTTPServer(("127.0.0.1", 0), FakeHealth)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [sys.executable, "-c", program.replace("8000", str(server.server_port))]
    environment = os.environ | {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    for server.status, exit_code in ((200, 0), (503, 1)):  # type: ignore[attr-defined]
        assert subprocess.run(command, env=environment, check=False).returncode == exit_code
    server.shutdown()
    server.server_close()
