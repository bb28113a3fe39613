"""Turn items into modality embeddings, in chunks, so that interrupted runs resume. Start at `encode_items`.

Embeddings are cached by the digests of encoder and content: equal contents are encoded once, and a grown dataset costs
only its new items.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from clairo_core.bundle.manifest import digests_of
from clairo_core.encoders import ModalityEmbeddings, ModalityEncoder, load_encoder, load_preparation
from clairo_core.encoders.item_content import encoder_input_digest
from clairo_core.encoders.open_clip_image import embed_pictures
from clairo_core.encoders.picture_preparation import ResizedPictures, resized_pictures
from clairo_core.items import Item
from clairo_core.progress import Progress
from clairo_core.storage.array_file import load_arrays, save_arrays
from training.engines.engine import IN_THIS_PROCESS, Engine
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
    engine: Engine = IN_THIS_PROCESS,
) -> None:
    """Fill `folder` with the encoder (`encoder/`) and every item's embedding (`embeddings.npz`).

    Args:
        folder: may hold the results of a killed run.
        modality: the encoder's.
        items: all of them.
        make_encoder: fits or loads the encoder; not called if a killed run had finished that.
        cache_folder: holds an embedding cache per encoder.
        progress: over chunks.
        engine: where chunks are encoded. This process writes their embeddings.
    """
    encoder_folder = folder / "encoder"
    if not encoder_folder.is_dir():
        encoder = make_encoder()
        aside = folder / "encoder.tmp"
        aside.mkdir(exist_ok=True)
        encoder.save(aside)
        aside.rename(encoder_folder)
    cache = EmbeddingCache(
        cache_folder / f"{modality}-{digest_of({'encoder': digests_of(encoder_folder), 'format': FORMAT})}"
    )
    digests = [encoder_input_digest(item, modality) for item in items]
    row_of = {digest: row for row, digest in enumerate(digests) if digest not in cache}
    left = list(row_of)
    chunks = [left[start : start + CHUNK_ITEMS] for start in range(0, len(left), CHUNK_ITEMS)]
    pieces = [[items[row_of[digest]] for digest in chunk] for chunk in chunks]
    encoded = _encoded(encoder_folder, pieces, engine)
    for chunk in progress(chunks, f"{modality}: {len(left)} contents, chunks of {CHUNK_ITEMS}", len(chunks)):
        cache.add(chunk, next(encoded))
    save_embeddings(folder / "embeddings.npz", cache.rows(digests))


def encoding(encoder_folder: Path) -> Callable[[Sequence[Item]], ModalityEmbeddings]:
    """Load an encoder, even if it was fitted just now: saved numbers may be shorter, and they are served."""
    return load_encoder(encoder_folder).encode


def _encoded(encoder_folder: Path, pieces: Sequence[Sequence[Item]], engine: Engine) -> Iterator[ModalityEmbeddings]:
    preparation = load_preparation(encoder_folder)
    if preparation is None:
        return engine.map(partial(encoding, encoder_folder), pieces)
    return engine.map(partial(embedding, encoder_folder), pieces, partial(resized_pictures, preparation))


def embedding(encoder_folder: Path) -> Callable[[ResizedPictures], ModalityEmbeddings]:
    """Load an encoder of pictures that others decode, as many in a batch as `encoding` takes."""
    return partial(embed_pictures, load_encoder(encoder_folder))


def save_embeddings(path: Path, embeddings: ModalityEmbeddings) -> None:
    """Write a whole file or none."""
    save_arrays(path, vectors=embeddings.vectors, is_present=embeddings.is_present)


def load_embeddings(path: Path) -> ModalityEmbeddings:
    """Read the file of `save_embeddings`."""
    return ModalityEmbeddings(*load_arrays(path, "vectors", "is_present"))
