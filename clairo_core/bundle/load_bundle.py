"""Load a bundle into memory once every file is verified against the manifest. Start at `load_bundle`."""

from pathlib import Path

import numpy as np

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.bundle_items import SEARCH_INDEX, load_items
from clairo_core.bundle.bundle_users import USERS_FOLDER, load_users
from clairo_core.bundle.manifest import DISLIKES_FILE, REPEATS_FILE, read_manifest, verify_files
from clairo_core.catalogue import load_catalogue
from clairo_core.encoders import load_encoder
from clairo_core.errors import BundleError
from clairo_core.fusion import FusedItems, load_fusion
from clairo_core.quantizers import load_quantizer
from clairo_core.ranking import load_dislike_strength, load_joint_ranking, load_repeat_lifts
from clairo_core.selection.search_index import load_search_index
from clairo_core.storage.array_file import find_array, load_arrays
from clairo_core.tokens.vocabulary import load_vocabulary


def load_bundle(folder: Path) -> Bundle:
    """Load a bundle after verifying every file's sha256 against the manifest.

    Raises:
        BundleNotFoundError: `folder` holds no bundle.
        BundleManifestError: the manifest is damaged.
        BundleDigestError: a file is missing, truncated or altered; the message names it.
        NewerBundleError: a newer release wrote it.
        ClairoError: a part cannot be read although its digest is correct.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    encoders = {modality: load_encoder(folder / "encoders" / modality) for modality in sorted(manifest.encoders)}
    items, pictures = load_items(folder / "items")
    (popularity,) = _load_arrays(folder / "popularity.npz", "counts")
    vocabulary = load_vocabulary(folder / "vocabulary")
    bundle = Bundle(
        folder=folder,
        manifest=manifest,
        vocabulary=vocabulary,
        catalogue=load_catalogue(folder / "catalogue", vocabulary),
        popularity=popularity,
        user_popularity=_load_user_popularity(folder / "popularity.npz", len(popularity)),
        items=items,
        pictures=pictures,
        encoders=encoders,
        fusion=load_fusion(folder / "fusion") if encoders else None,
        quantizer=load_quantizer(folder / "quantizer") if encoders else None,
        item_embeddings=(
            FusedItems(*_load_arrays(folder / "embeddings.npz", "item_embeddings", "is_present")) if encoders else None
        ),
        joint_ranking=load_joint_ranking(folder / "ranking", popularity) if (folder / "ranking").is_dir() else None,
        repeat_lifts=load_repeat_lifts(folder / REPEATS_FILE),
        users=load_users(folder / USERS_FOLDER, len(items)),
        search_index=load_search_index(folder / "items" / SEARCH_INDEX, len(items)),
        dislike_strength=load_dislike_strength(folder / DISLIKES_FILE),
    )
    if not len(bundle.items) == len(bundle.catalogue) == len(bundle.popularity):
        raise BundleError(
            f"{folder}: {len(bundle.items)} items, {len(bundle.catalogue)} in the catalogue, "
            f"{len(bundle.popularity)} with a popularity; train the bundle again"
        )
    return bundle


def _load_user_popularity(path: Path, num_items: int) -> np.ndarray | None:
    users = find_array(path, "users")
    if users is not None and users.shape != (num_items,):
        raise BundleError(f"{path}: {len(users)} items with users, expected {num_items}; train the bundle again")
    return users


def _load_arrays(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """Load arrays, with the bundle's own error.

    Raises:
        BundleError: the file is damaged although its digest is correct.
    """
    try:
        return load_arrays(path, *names)
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); train the bundle again") from error
