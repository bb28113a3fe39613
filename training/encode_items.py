"""Turn items into modality embeddings, chunk by chunk, so that a killed run goes on where it stood.

Knows encoders, files and chunks; an encoder is fitted on training items only.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from clairo_core.array_file import load_arrays, save_arrays
from clairo_core.encoders import (
    BuiltinImageEncoder,
    BuiltinTextEncoder,
    ModalityEmbeddings,
    ModalityEncoder,
    load_encoder,
)
from clairo_core.errors import SettingsError
from clairo_core.items import Item
from clairo_core.progress import Progress
from training.config import EncodeSettings

CHUNK_ITEMS = 512


def fit_encoder(
    modality: str,
    training_items: Sequence[Item],
    settings: EncodeSettings,
    seed: int,
    progress: Progress[Item],
) -> ModalityEncoder:
    """A built-in encoder for `modality`, fitted on the training items.

    Raises:
        SettingsError: there is no encoder for this modality.
    """
    if modality == "text":
        return BuiltinTextEncoder.fit(training_items, dim=settings.text_dim, seed=seed)
    if modality == "image":
        return BuiltinImageEncoder.fit(training_items, seed=seed, progress=progress)
    raise SettingsError(f"encode.modalities names {modality!r}; the built-in encoders are text and image")


def encode_items(
    folder: Path,
    modality: str,
    items: Sequence[Item],
    is_training: Bool[np.ndarray, "item"],
    settings: EncodeSettings,
    seed: int,
    progress: Progress,
) -> None:
    """Fill `folder` with the fitted encoder (`encoder/`) and every item's embedding (`embeddings.npz`)."""
    encoder_folder = folder / "encoder"
    if not encoder_folder.is_dir():
        training_items = [item for item, chosen in zip(items, is_training, strict=True) if chosen]
        encoder = fit_encoder(modality, training_items, settings, seed, progress)
        aside = folder / "encoder.tmp"
        aside.mkdir(exist_ok=True)
        encoder.save(aside)
        aside.rename(encoder_folder)
    # Loaded even when it was fitted just now: what is served is what was saved.
    encoder = load_encoder(encoder_folder)
    chunk_files = []
    starts = range(0, len(items), CHUNK_ITEMS)
    for start in progress(starts, f"{modality}: {len(items)} items, chunks of {CHUNK_ITEMS}", len(starts)):
        chunk_file = folder / f"chunk-{start}.npz"
        if not chunk_file.is_file():
            save_embeddings(chunk_file, encoder.encode(items[start : start + CHUNK_ITEMS]))
        chunk_files.append(chunk_file)
    chunks = [load_embeddings(chunk_file) for chunk_file in chunk_files]
    save_embeddings(
        folder / "embeddings.npz",
        ModalityEmbeddings(
            np.concatenate([chunk.vectors for chunk in chunks]),
            np.concatenate([chunk.is_present for chunk in chunks]),
        ),
    )
    for chunk_file in chunk_files:
        chunk_file.unlink()


def save_embeddings(path: Path, embeddings: ModalityEmbeddings) -> None:
    """Write aside and rename, so that a file that is there is whole."""
    save_arrays(path, vectors=embeddings.vectors, is_present=embeddings.is_present)


def load_embeddings(path: Path) -> ModalityEmbeddings:
    """What `save_embeddings` wrote."""
    return ModalityEmbeddings(*load_arrays(path, "vectors", "is_present"))
