"""From one bundle, what a shop's shelf can hold: it, another that recommends otherwise, and one that is damaged.

Knows bundle folders; knows nothing of services.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from clairo_core.bundle.manifest import bundle_id_of, digests_of, read_manifest, write_manifest
from clairo_core.storage.array_file import load_arrays, save_arrays
from tests.tiny import tiny_bundle

TRAINED = Path("bundles/demo")
"""What `make demo-bundle` makes."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder of bundles, and their ids."""

    folder: Path
    first: str
    second: str
    damaged: str

    @property
    def serving_folder(self) -> Path:
        """Of the first, which is served at the start."""
        return self.folder / "first"


def fill_shelf(folder: Path, bundle: Path | None) -> tuple[str, Shelf]:
    """Copy `bundle`, or the trained demo bundle if that is there, or else a small untrained one.

    Returns:
        What was taken, in words, and the shelf.
    """
    taken = bundle or (TRAINED if (TRAINED / "manifest.json").is_file() else None)
    folder.mkdir(parents=True)
    if taken is None:
        tiny_bundle(folder / "first", num_items=200)
    else:
        shutil.copytree(taken, folder / "first")
    second = _with_other_popularity(folder / "first", folder / "second", 1)
    damaged = _with_other_popularity(folder / "first", folder / "third", 2)
    weights = folder / "third" / "generator" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0xFF
    weights.write_bytes(content)
    manifest = read_manifest(folder / "first")
    has_ranking = " with a joint ranking" if (folder / "first" / "ranking").is_dir() else ""
    name = f"bundle {manifest.bundle_id} of preset {manifest.preset}{has_ranking}"
    return name, Shelf(folder, manifest.bundle_id, second, damaged)


def _with_other_popularity(bundle: Path, target: Path, shift: int) -> str:
    """A bundle whose items are popular otherwise, with files, digests and an id of its own."""
    shutil.copytree(bundle, target)
    (counts,) = load_arrays(target / "popularity.npz", "counts")
    save_arrays(target / "popularity.npz", counts=counts + shift)
    manifest = read_manifest(target)
    files = digests_of(target)
    recommending = {name: digest for name, digest in files.items() if not name.startswith("report/")}
    bundle_id = bundle_id_of(manifest.dataset_name, recommending)
    write_manifest(target, replace(manifest, bundle_id=bundle_id, files=files))
    return bundle_id


def activation_path(bundle_id: str) -> str:
    """Where a bundle is activated, whatever it measured."""
    return f"/bundles/{bundle_id}/activate?allow_worse=true"
