"""Bundles in object storage, over a real connection: pushed, listed, fetched once, checked, resumed after a kill."""

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import BundleManifest, read_manifest, verify_files
from clairo_core.bundle.remote_bundles import NUM_KEPT, RemoteBundles, push_bundle
from clairo_core.errors import (
    BundleDigestError,
    BundleError,
    BundleManifestError,
    BundleNotFoundError,
    BundleStorageError,
    NewerBundleError,
)
from tests.object_storage import ObjectStorage, running_storage
from tests.repository import REPOSITORY
from tests.tiny import tiny_bundle

FETCH = """
import sys
from pathlib import Path
from clairo_core.bundle.remote_bundles import RemoteBundles
from clairo_core.storage.storage_address import place_of
RemoteBundles(place_of(sys.argv[1]), Path(sys.argv[2])).fetch(sys.argv[3])
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "spring", num_items=20)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[ObjectStorage]:
    with running_storage(tmp_path / "storage") as storage:
        yield storage


@pytest.fixture
def remote(storage: ObjectStorage, made: Path, tmp_path: Path) -> RemoteBundles:
    """With the bundle `spring` in it."""
    push_bundle(made, storage.address)
    return RemoteBundles(storage.address, tmp_path / "copies")


def inode_of(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ino for path in folder.rglob("*.*")}


def test_a_fetched_bundle_is_the_pushed_one(remote: RemoteBundles, made: Path) -> None:
    folder = remote.fetch("spring")
    assert read_manifest(folder) == read_manifest(made)
    assert load_bundle(folder).catalogue.item_ids == load_bundle(made).catalogue.item_ids
    before = inode_of(folder)
    assert remote.fetch("spring") == folder
    assert inode_of(folder) == before


def test_a_report_comes_along(storage: ObjectStorage, made: Path, tmp_path: Path) -> None:
    reported = Path(shutil.copytree(made, tmp_path / "reported"))
    (reported / "report" / "report.html").write_text("<p>map</p>")
    push_bundle(reported, storage.address)
    fetched = RemoteBundles(storage.address, tmp_path / "copies").fetch("reported")
    assert (fetched / "report" / "report.html").read_text() == "<p>map</p>"


def test_half_an_upload_is_not_listed_and_an_unreadable_manifest_is(
    remote: RemoteBundles, storage: ObjectStorage
) -> None:
    for name, manifest in (("cut-off", None), ("damaged", "{"), (".hidden", "{}")):
        shutil.copytree(storage.bundles / "spring", storage.bundles / name)
        (storage.bundles / name / "manifest.json").unlink()
        if manifest is not None:
            (storage.bundles / name / "manifest.json").write_text(manifest)
    listed = remote.manifests()
    assert sorted(listed) == ["damaged", "spring"]
    assert isinstance(listed["spring"], BundleManifest)
    assert isinstance(listed["damaged"], BundleManifestError)
    with pytest.raises(BundleNotFoundError, match=r"cut-off at 127.0.0.1:\d+: no bundle here.*clairo-train push"):
        remote.fetch("cut-off")


def test_an_empty_prefix_has_no_bundles_and_a_missing_bucket_is_named(storage: ObjectStorage, tmp_path: Path) -> None:
    assert RemoteBundles(storage.address, tmp_path / "copies").manifests() == {}
    misspelt = replace(storage.address, bucket="shpo")
    with pytest.raises(BundleStorageError, match=r"s3://shpo/bundles at .*: the bucket does not exist"):
        RemoteBundles(misspelt, tmp_path / "copies").manifests()


def test_an_address_without_a_server_takes_that_of_the_environment(
    remote: RemoteBundles, storage: ObjectStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", storage.endpoint)
    bare = replace(storage.address, endpoint="", scheme="https")
    assert RemoteBundles(bare, tmp_path / "bare").manifests() == remote.manifests() != {}
    # A server in the address comes first.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert RemoteBundles(storage.address, tmp_path / "named").manifests() == remote.manifests()


def test_a_bundle_of_a_newer_release_is_refused(remote: RemoteBundles, storage: ObjectStorage) -> None:
    manifest = storage.bundles / "spring" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 999}))
    with pytest.raises(NewerBundleError, match="s3://shop/bundles/spring"):
        remote.fetch("spring")


def test_an_altered_object_is_refused_by_name_and_pushing_again_repairs_it(
    remote: RemoteBundles, storage: ObjectStorage, made: Path
) -> None:
    altered = storage.bundles / "spring" / "items" / "items.jsonl"
    altered.write_bytes(altered.read_bytes()[:-1])
    with pytest.raises(BundleDigestError, match=r"spring/items/items.jsonl.*sha256 .* push the bundle again"):
        remote.fetch("spring")
    assert not (remote.folder / "spring" / "manifest.json").exists()
    assert not list(remote.folder.rglob("*.tmp"))
    (storage.bundles / "spring" / "manifest.json").write_text("{")
    push_bundle(made, storage.address)
    load_bundle(remote.fetch("spring"))


def test_a_missing_object_is_named(remote: RemoteBundles, storage: ObjectStorage) -> None:
    (storage.bundles / "spring" / "popularity.npz").unlink()
    with pytest.raises(BundleDigestError, match=r"spring/popularity.npz.*: missing, but the manifest lists it"):
        remote.fetch("spring")


def test_a_damaged_copy_is_repaired_by_files(remote: RemoteBundles) -> None:
    folder = remote.fetch("spring")
    before = inode_of(folder)
    (folder / "popularity.npz").write_bytes(b"rotten")
    assert remote.fetch("spring", is_damaged=True) == folder
    verify_files(folder, read_manifest(folder))
    after = inode_of(folder)
    assert {Path(path).name for path in after if after[path] != before[path]} == {"popularity.npz", "manifest.json"}


def test_another_bundle_of_the_same_name_is_not_overwritten(
    remote: RemoteBundles, storage: ObjectStorage, tmp_path: Path
) -> None:
    other = tiny_bundle(tmp_path / "other" / "spring", num_items=20, seed=1)
    with pytest.raises(BundleError, match=r"spring at .* holds another bundle; rename"):
        push_bundle(other, storage.address)


def test_a_damaged_bundle_is_not_pushed(storage: ObjectStorage, made: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(made, tmp_path / "damaged"))
    (damaged / "popularity.npz").write_bytes(b"rotten")
    with pytest.raises(BundleDigestError, match=r"popularity.npz"):
        push_bundle(damaged, storage.address)
    assert not storage.bundles.exists()


def test_copies_used_long_ago_are_removed(remote: RemoteBundles, storage: ObjectStorage) -> None:
    names = ["spring", *(f"spring-{number}" for number in range(NUM_KEPT + 1))]
    for name in names[1:]:
        shutil.copytree(storage.bundles / "spring", storage.bundles / name)
    (remote.folder / "cut-off").mkdir(parents=True)
    for name in names:
        remote.fetch(name)
        # Used again: it stays.
        remote.fetch("spring")
    assert [folder.name for folder in remote.copies()] == ["spring", *reversed(names[-NUM_KEPT + 1 :])]
    assert not (remote.folder / "cut-off").exists()


def test_a_killed_fetch_resumes_by_files(storage: ObjectStorage, remote: RemoteBundles, made: Path) -> None:
    folder = remote.folder / "spring"
    command = [sys.executable, "-c", FETCH, storage.url, str(remote.folder.parent), "spring"]
    with subprocess.Popen(command, cwd=REPOSITORY) as fetching:
        deadline = time.monotonic() + 60
        while not any(path.suffix != ".tmp" for path in folder.rglob("*.*")) and time.monotonic() < deadline:
            time.sleep(0.001)
        fetching.send_signal(signal.SIGKILL)
    assert not (folder / "manifest.json").exists()
    here = {path: inode for path, inode in inode_of(folder).items() if not path.endswith(".tmp")}
    assert here
    remote.fetch("spring")
    verify_files(folder, read_manifest(folder))
    after = inode_of(folder)
    assert {path: after[path] for path in here} == here


def test_fetches_at_the_same_time_copy_once(remote: RemoteBundles, caplog: pytest.LogCaptureFixture) -> None:
    others = [RemoteBundles(remote.address, remote.folder.parent) for _ in range(3)]
    with caplog.at_level("INFO"), ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda one: one.fetch("spring"), [remote, *others]))
    assert len(folders) == 1
    assert len([record for record in caplog.records if record.message.startswith("fetched ")]) == 1


def test_a_copy_is_used_while_another_process_fetches(remote: RemoteBundles) -> None:
    folder = remote.fetch("spring")
    with (remote.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remote.fetch("spring") == folder


def test_a_storage_that_is_down_is_named_with_the_next_step(remote: RemoteBundles, storage: ObjectStorage) -> None:
    remote.fetch("spring")
    storage.kill()
    with pytest.raises(
        BundleStorageError, match=r"s3://shop/bundles at 127.0.0.1:\d+: .*; check the address, the cred"
    ):
        remote.manifests()
    assert [folder.name for folder in remote.copies()] == ["spring"]


def test_a_closed_fetch_ends_and_leaves_no_bundle(remote: RemoteBundles) -> None:
    remote.close()
    with pytest.raises(BundleStorageError, match="the service stops"):
        remote.fetch("spring")
    assert remote.copies() == []


def test_a_copy_that_cannot_be_written_is_named(remote: RemoteBundles) -> None:
    remote.folder.parent.write_text("a file where the folder of copies should be")
    with pytest.raises(BundleStorageError, match=r"cannot be written .*choose another --bundles-cache-dir"):
        remote.fetch("spring")
