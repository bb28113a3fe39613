"""Fill a shop's shelf from one bundle: the bundle, another with other recommendations, and a damaged one."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.repository import DEMO_BUNDLE
from clairo_core.bundle.manifest import bundle_id_of, digests_of, read_manifest, write_manifest
from clairo_core.storage.array_file import load_arrays, save_arrays
from tests.tiny import tiny_bundle


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder of bundles, and their ids."""

    folder: Path
    first: str
    second: str
    damaged: str

    @property
    def serving_folder(self) -> Path:
        """Folder of the bundle that is served first."""
        return self.folder / "first"


def fill_shelf(folder: Path, bundle: Path | None) -> tuple[str, Shelf]:
    """Copy `bundle`, else the demo bundle, else a small untrained one.

    Returns:
        A description of the copied bundle, and the shelf.
    """
    taken = bundle or (DEMO_BUNDLE if (DEMO_BUNDLE / "manifest.json").is_file() else None)
    folder.mkdir(parents=True)
    if taken is None:
        tiny_bundle(folder / "first", num_items=200)
    else:
        shutil.copytree(taken, folder / "first")
    second = _with_other_popularity(folder / "first", folder / "second", 1)
    damaged = _with_other_popularity(folder / "first", folder / "third", 2)
    (weights,) = (folder / "third" / "generator").glob("*.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0xFF
    weights.write_bytes(content)
    manifest = read_manifest(folder / "first")
    has_ranking = " with a joint ranking" if (folder / "first" / "ranking").is_dir() else ""
    name = f"bundle {manifest.bundle_id} of preset {manifest.preset}{has_ranking}"
    return name, Shelf(folder, manifest.bundle_id, second, damaged)


def _with_other_popularity(bundle: Path, target: Path, shift: int) -> str:
    """Copy the bundle with other item counts, and so other digests and another id. Returns the id."""
    shutil.copytree(bundle, target)
    (counts,) = load_arrays(target / "popularity.npz", "counts")
    save_arrays(target / "popularity.npz", counts=counts + shift)
    manifest = read_manifest(target)
    files = digests_of(target)
    recommending = {name: digest for name, digest in files.items() if not name.startswith("report/")}
    bundle_id = bundle_id_of(manifest.dataset_name, recommending, manifest.serving)
    write_manifest(target, replace(manifest, bundle_id=bundle_id, files=files))
    return bundle_id


def activation_path(bundle_id: str) -> str:
    """Path that activates a bundle even if its metrics are worse."""
    return f"/bundles/{bundle_id}/activate?allow_worse=true"
