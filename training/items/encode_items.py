"""Turn items into modality embeddings, chunk by chunk, so that a killed run goes on where it stood.

Knows encoders, files and chunks. What an encoder made of a content is kept by the digests of both: items of the same
content are encoded once, and a dataset that has grown costs only what is new. Start at `encode_items`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from clairo_core.bundle.manifest import digests_of
from clairo_core.encoders import ModalityEmbeddings, ModalityEncoder, load_encoder
from clairo_core.encoders.item_content import encoder_input_digest
from clairo_core.items import Item
from clairo_core.progress import Progress
from clairo_core.storage.array_file import load_arrays, save_arrays
from training.items.embedding_cache import EmbeddingCache
from training.workbench.stage_cache import FORMAT, digest_of

CHUNK_ITEMS = 512


def encode_items(
    folder: Path,
    modality: str,
    items: Sequence[Item],
    make_encoder: Callable[[], ModalityEncoder],
    cache_folder: Path,
    progress: Progress,
) -> None:
    """Fill `folder` with the encoder (`encoder/`) and every item's embedding (`embeddings.npz`).

    Args:
        folder: may hold what a killed run left.
        modality: what the encoder reads of an item.
        items: all of them.
        make_encoder: fits or loads the encoder; not called if a killed run had got so far.
        cache_folder: a folder in it for each encoder keeps embeddings by content.
        progress: reports chunks.
    """
    encoder_folder = folder / "encoder"
    if not encoder_folder.is_dir():
        encoder = make_encoder()
        aside = folder / "encoder.tmp"
        aside.mkdir(exist_ok=True)
        encoder.save(aside)
        aside.rename(encoder_folder)
    # Loaded even when it was fitted just now: what is served is what was saved.
    encoder = load_encoder(encoder_folder)
    cache = EmbeddingCache(
        cache_folder / f"{modality}-{digest_of({'encoder': digests_of(encoder_folder), 'format': FORMAT})}"
    )
    digests = [encoder_input_digest(item, modality) for item in items]
    row_of = {digest: row for row, digest in enumerate(digests) if digest not in cache}
    left = list(row_of)
    starts = range(0, len(left), CHUNK_ITEMS)
    for start in progress(starts, f"{modality}: {len(left)} contents, chunks of {CHUNK_ITEMS}", len(starts)):
        chunk = left[start : start + CHUNK_ITEMS]
        cache.add(chunk, encoder.encode([items[row_of[digest]] for digest in chunk]))
    save_embeddings(folder / "embeddings.npz", cache.rows(digests, encoder.dim))


def save_embeddings(path: Path, embeddings: ModalityEmbeddings) -> None:
    """Write aside and rename, so that a file that is there is whole."""
    save_arrays(path, vectors=embeddings.vectors, is_present=embeddings.is_present)


def load_embeddings(path: Path) -> ModalityEmbeddings:
    """What `save_embeddings` wrote."""
    return ModalityEmbeddings(*load_arrays(path, "vectors", "is_present"))
