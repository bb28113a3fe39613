"""`make install TORCH_INDEX=URL` takes torch from that index, and all else from the lock. Python and pip are fakes."""

import re
import shutil
import subprocess

import pytest

from tests.repository import REPOSITORY

FAKE_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p "$3/bin"
  printf '#!/bin/sh\\necho "$@" >> installs.txt\\n' > "$3/bin/pip"
  cp "$0" "$3/bin/python"
  chmod +x "$3/bin/pip"
fi
"""


@pytest.fixture
def checkout(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    return tmp_path


def installs_of(checkout, *variables):
    subprocess.run(["make", "install", "PYTHON=./python", *variables], cwd=checkout, check=True, capture_output=True)
    return (checkout / "installs.txt").read_text().splitlines()


def pinned_in(path):
    return set(re.findall(r"^([a-z0-9.-]+)==", path.read_text(), re.MULTILINE))


def test_torch_comes_from_the_index_and_all_else_from_the_lock(checkout):
    torch, others, itself = installs_of(checkout, "TORCH_INDEX=https://index.example/cpu")
    assert re.search(r"--no-deps --index-url https://index\.example/cpu torch==[\d.]+ torchvision==[\d.]+$", torch)
    assert "--require-hashes -r .venv/without-torch.lock" in others
    assert itself.endswith("--editable .")
    left_out = pinned_in(checkout / "requirements.lock") - pinned_in(checkout / ".venv" / "without-torch.lock")
    assert {"torch", "torchvision", "triton"} <= left_out
    assert all(name.startswith(("torch", "triton", "nvidia-", "cuda-")) for name in left_out)
    assert not re.search(r"\b(nvidia|cuda)-", (checkout / ".venv" / "without-torch.lock").read_text())


def test_without_an_index_all_comes_from_the_lock(checkout):
    everything, _ = installs_of(checkout)
    assert "--require-hashes -r requirements.lock" in everything
