"""SIGKILL training three times: the next run yields the same bundle as an uninterrupted one."""

import signal
import time
from pathlib import Path

import pytest

from clairo_core.bundle.load_bundle import load_bundle
from tests.fresh_processes import ForkedProcess, fresh_process
from tests.repository import REPOSITORY
from training.demo_shop import write_demo_shop

SETTINGS = (
    "fit.max_epochs=3",
    "fit.validation_users=40",
    "generator.d_model=16",
    "generator.d_ff=32",
    "generator.num_layers=1",
    "encode.text_dim=16",
    "fuse.dim_per_modality=8",
    "dense.encoder=recurrent",
    "dense.width=16",
    "dense.max_epochs=3",
    "evaluate.num_beams=20",
    "evaluate.max_users=30",
)


def command(shop: Path, out: Path) -> list[str]:
    flags = [part for setting in SETTINGS for part in ("--set", setting)]
    run = ["clairo-train", "run", "--preset", "clairo_token", "--device", "cpu"]
    return [*run, "--data", str(shop), "--out", str(out), *flags]


def train(shop: Path, out: Path) -> None:
    with fresh_process(command(shop, out), REPOSITORY, {}) as process:
        assert process.wait() == 0, process.output


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_demo_shop(folder, num_items=60, num_users=100)
    return folder


@pytest.fixture(scope="module")
def undisturbed(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "bundle"
    train(shop, out)
    return out


def kill_when(process: ForkedProcess, said: str, after_seconds: float) -> None:
    """Wait for the first output and a moment longer, then SIGKILL."""
    for line in process.stdout:
        if said in line:
            break
    else:
        pytest.fail(f"training ended with {process.wait()} before it said {said!r}")
    time.sleep(after_seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


# During encoding, between epochs, before the refit: the line that training prints before, and the delay of the kill.
KILLS = (("stages in", 0.3), ("epoch 1:", 0.1), ("epoch 3:", 0.05))


def test_training_killed_three_times_yields_the_same_bundle(shop: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    for said, after_seconds in KILLS:
        kill_when(ForkedProcess(command(shop, out), REPOSITORY, {}), said, after_seconds)
        assert not (out / "manifest.json").exists(), "a bundle is there only when it is whole"
    train(shop, out)
    killed, whole = load_bundle(out), load_bundle(undisturbed)
    # The id is a digest of every file that recommendations depend on, the generator's weights among them.
    assert killed.manifest.bundle_id == whole.manifest.bundle_id
    assert not list(tmp_path.glob("*.tmp"))
