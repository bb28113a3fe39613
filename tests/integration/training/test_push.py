"""Bundles put into object storage: by hand, and by retraining, which finds the serving bundle there too."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from clairo_core.bundle.manifest import read_manifest
from clairo_core.bundle.remote_bundles import RemoteBundles, push_bundle
from clairo_core.errors import BundleStorageError, ClairoError, SettingsError
from tests.integration.training.test_retraining import NUM_ITEMS, UNLEARNED, Shop, retrain
from tests.object_storage import ObjectStorage, running_storage
from tests.running_service import running_process
from tests.tiny import tiny_bundle
from training.cli import app
from training.retraining.promotion import fetched_of_id


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "first", num_items=NUM_ITEMS)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[ObjectStorage]:
    with running_storage(tmp_path / "storage") as storage:
        yield storage


def test_a_pushed_bundle_is_found_by_its_id(made: Path, storage: ObjectStorage, tmp_path: Path) -> None:
    pushed = CliRunner().invoke(app, ["push", str(made), storage.url])
    assert pushed.exit_code == 0, pushed.output
    bundle_id = read_manifest(made).bundle_id
    assert f"next: POST /bundles/{bundle_id}/activate" in pushed.stderr
    remote = RemoteBundles(storage.address, tmp_path / "copies")
    assert read_manifest(fetched_of_id(remote, bundle_id)).bundle_id == bundle_id
    with pytest.raises(SettingsError, match=r"serves bundle other, which is not in s3://shop/bundles at .* push it"):
        fetched_of_id(remote, "other")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("bundles", "address: got the path bundles, expected s3://BUCKET/PREFIX"),
        ("s3://KEY:hidden@shop/bundles", "address: expected s3://BUCKET/PREFIX"),
    ],
)
def test_another_address_is_refused_without_its_secret(made: Path, address: str, message: str) -> None:
    refused = CliRunner().invoke(app, ["push", str(made), address]).exception
    assert isinstance(refused, SettingsError)
    assert str(refused).startswith(message)
    assert "hidden" not in str(refused)


def test_a_storage_that_cannot_take_the_bundle_ends_a_run_before_it_trains(
    made: Path, storage: ObjectStorage, tmp_path: Path
) -> None:
    push_bundle(made, storage.address)

    def refusal() -> BaseException | None:
        command = ["run", "--data", str(tmp_path), "--out", str(tmp_path / "first"), "--push", storage.url]
        return CliRunner().invoke(app, command).exception

    taken = refusal()
    assert isinstance(taken, ClairoError)
    assert "holds a bundle already; name another --out" in str(taken)
    storage.kill()
    assert isinstance(refusal(), BundleStorageError)


def test_retraining_fetches_the_serving_bundle_and_pushes_the_next_one(
    made: Path, storage: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests' own variable, which the service's export would refuse.
    monkeypatch.delenv("CLAIRO_SHARED", raising=False)
    push_bundle(made, storage.address)
    bundle = storage.url.replace("/bundles?", "/bundles/first?")
    with (
        running_process(bundle, tmp_path / "data", "--bundles-dir", storage.url) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        shop = Shop(client, tmp_path / "trained", f"sqlite:///{tmp_path / 'data' / 'clairo.db'}")
        shop.tell(0, 6, time.time())
        result = retrain(shop, "second", UNLEARNED, "--promote", service.url, "--push", storage.url)
        assert result.exit_code == 0, result.output
        pushed = read_manifest(storage.bundles / "second")
        assert pushed.metrics["against_serving"]["serving_bundle_id"] == read_manifest(made).bundle_id
        # One epoch teaches too little for a promotion.
        assert shop.served() != pushed.bundle_id
        client.post(f"/bundles/{pushed.bundle_id}/activate", params={"allow_worse": True}).raise_for_status()
        assert shop.served() == pushed.bundle_id
