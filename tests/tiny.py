"""Small, valid parts for tests: a vocabulary, a random T5, a catalogue, a whole bundle. All deterministic by seed."""

import atexit
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32
from PIL import Image
from transformers import T5Config, T5ForConditionalGeneration

from clairo_core.bundle.bundle_users import BundleUsers
from clairo_core.bundle.write_bundle import BundleParts, write_bundle
from clairo_core.catalogue import build_catalogue
from clairo_core.encoders import BuiltinImageEncoder, BuiltinTextEncoder, ModalityEncoder, load_encoder
from clairo_core.events import InteractionRules
from clairo_core.features import collision_capacity, feature_sets_with_collision_index
from clairo_core.fusion import fit_fusion
from clairo_core.items import Item
from clairo_core.quantizers import fit_opq
from clairo_core.ranking import Mixture
from clairo_core.ranking.candidate_features import num_features
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import TokenBatch, Tokenizer
from clairo_core.tokens.vocabulary import EOS, PAD, Vocabulary
from training.generator.content_t5 import ContentT5, ContentT5Config
from training.vocabulary.learn_vocabulary import learn_vocabulary

# With tensors this small, threads spend up to ten times their work on waiting for each other.
torch.set_num_threads(1)


def tiny_vocabulary(category_sizes: Sequence[int] = (8, 8, 8), merges: Sequence[tuple[int, int]] = ()) -> Vocabulary:
    """A vocabulary of these categories; merge rule i, a pair of older tokens, has the i-th highest count."""
    parts = np.array(merges, dtype=np.int32).reshape(-1, 2)
    return Vocabulary(
        category_names=tuple(f"code_{category}" for category in range(len(category_sizes))),
        category_sizes=tuple(category_sizes),
        left=parts[:, 0].copy(),
        right=parts[:, 1].copy(),
        scaled_counts=np.arange(len(parts), 0, -1, dtype=np.int64) * 3600,
    )


def random_feature_sets(
    num_items: int, category_sizes: Sequence[int], seed: int = 0
) -> Int32[np.ndarray, "item category"]:
    """Distinct feature sets, drawn without replacement from all combinations."""
    num_sets = int(np.prod(category_sizes))
    chosen = np.random.default_rng(seed).permutation(num_sets)[:num_items]
    return np.stack(np.unravel_index(chosen, tuple(category_sizes)), axis=1).astype(np.int32)


def random_sequences(num_items: int, num_sequences: int, seed: int = 0) -> ItemSequences:
    """Histories of 2 to 8 items."""
    random = np.random.default_rng(seed)
    return ItemSequences.from_lists(
        [random.integers(num_items, size=random.integers(2, 9)).tolist() for _ in range(num_sequences)]
    )


def random_t5(vocab_size: int, seed: int = 0, **settings: object) -> T5ForConditionalGeneration:
    """A T5 with random weights, in evaluation mode; `settings` replace fields of its configuration.

    With `content_dim` among them, it reads item embeddings of this length.
    """
    shape: dict[str, object] = {
        "vocab_size": vocab_size,
        "d_model": 24,
        "d_kv": 8,
        "d_ff": 40,
        "num_layers": 2,
        "num_heads": 3,
        "decoder_start_token_id": PAD,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
    }
    random_state = torch.get_rng_state()
    torch.manual_seed(seed)
    kind, config = (ContentT5, ContentT5Config) if "content_dim" in settings else (T5ForConditionalGeneration, T5Config)
    model: T5ForConditionalGeneration = kind(config(**(shape | settings)))
    torch.set_rng_state(random_state)
    return model.eval()


def write_random_t5(folder: Path, vocab_size: int, seed: int = 0, **settings: object) -> Path:
    """`random_t5` as a checkpoint in transformers' format; returns the folder."""
    random_t5(vocab_size, seed, **settings).save_pretrained(folder)
    return folder


def token_batch(sequences: Sequence[Sequence[int]]) -> TokenBatch:
    """Sequences as rows, filled with PAD."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int32)
    ids = np.full((len(sequences), max(map(len, sequences), default=0)), PAD, dtype=np.int32)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    return TokenBatch(ids, lengths)


def tiny_items(num_items: int, seed: int = 0) -> tuple[Item, ...]:
    """Products with a title, a description, attributes and a small drawn picture; every seventh has no picture."""
    random = np.random.default_rng(seed)
    colours = {"red": (210, 40, 40), "green": (40, 170, 60), "blue": (40, 70, 210), "yellow": (240, 210, 40)}
    kinds = ("mug", "shirt", "poster", "lamp", "bag")
    items = []
    for row in range(num_items):
        colour, kind = random.choice(list(colours)), random.choice(kinds)
        picture = None if row % 7 == 6 else drawn_picture(colours[colour], random)
        items.append(
            Item(
                item_id=f"item-{row}",
                texts={"title": f"{colour} {kind} {row}", "description": f"A {kind} for every day, in {colour}."},
                picture=picture,
                attributes={"category": str(kind), "price": f"{random.integers(5, 60)}.00"},
            )
        )
    return tuple(items)


def drawn_picture(colour: tuple[int, int, int], random: np.random.Generator, side: int = 48) -> bytes:
    """A PNG: one coloured block on a light ground, somewhere."""
    pixels = np.full((side, side, 3), 245, dtype=np.uint8)
    left, top = random.integers(side // 2, size=2)
    pixels[top : top + side // 2, left : left + side // 2] = colour
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def saved_and_loaded(encoder: ModalityEncoder) -> ModalityEncoder:
    """Save and load an encoder, as serving does: stored numbers may be rounded."""
    with TemporaryDirectory() as folder:
        encoder.save(Path(folder))
        return load_encoder(Path(folder))


def tiny_bundle(
    folder: Path,
    *,
    num_items: int = 60,
    seed: int = 0,
    can_ingest: bool = True,
    ids: Mapping[int, str] | None = None,
    rules: InteractionRules | None = None,
    users: BundleUsers | None = None,
) -> Path:
    """Write a small, valid bundle of `tiny_items` with an untrained generator; returns `folder`.

    With `can_ingest`, features come from words and pictures; without, from random precomputed codes. `ids` replaces the
    ids of some rows.
    """
    is_plain = ids is None and rules is None and users is None
    if folder.exists() or not is_plain:
        return _write_tiny_bundle(folder, num_items, seed, can_ingest, ids or {}, rules, users)
    # Contents, not times: a copy is as new as a bundle written here.
    return Path(shutil.copytree(_tiny_bundle(num_items, seed, can_ingest), folder, copy_function=shutil.copyfile))


WRITTEN = TemporaryDirectory()
"""Of this process."""
atexit.register(WRITTEN.cleanup)


@cache
def _tiny_bundle(num_items: int, seed: int, can_ingest: bool) -> Path:
    """Written once: it takes 0.3 s of processor, and a file synced to disk 40 times."""
    folder = Path(WRITTEN.name) / f"{num_items}-{seed}-{can_ingest}"
    return _write_tiny_bundle(folder, num_items, seed, can_ingest, {}, None, None)


def _write_tiny_bundle(
    folder: Path,
    num_items: int,
    seed: int,
    can_ingest: bool,
    ids: Mapping[int, str],
    rules: InteractionRules | None,
    users: BundleUsers | None,
) -> Path:
    items = tuple(
        replace(item, item_id=ids.get(row, item.item_id)) for row, item in enumerate(tiny_items(num_items, seed))
    )
    content: dict[str, Any] = {}
    if can_ingest:
        # A few pictures suffice for fitting, and encoding them takes most of the time.
        fitted = (BuiltinTextEncoder.fit(items, dim=16, seed=seed), BuiltinImageEncoder.fit(items[:15], seed=seed))
        encoders = {encoder.modality: saved_and_loaded(encoder) for encoder in fitted}
        embeddings = {modality: encoder.encode(items) for modality, encoder in encoders.items()}
        fusion = fit_fusion(embeddings, 8, seed)
        fused = fusion.fuse(embeddings)
        quantizer = fit_opq(fused.item_embeddings, 2, 8, seed=seed, num_iterations=5)
        semantic_ids, sizes = quantizer.encode(fused.item_embeddings), [quantizer.codebooks.shape[1]] * 2
        content = {"encoders": encoders, "fusion": fusion, "quantizer": quantizer, "item_embeddings": fused}
    else:
        sizes = [12, 12]
        semantic_ids = np.random.default_rng(seed).integers(12, size=(num_items, 2)).astype(np.int32)
    feature_sets, space = feature_sets_with_collision_index(semantic_ids, sizes, collision_capacity(semantic_ids))
    sequences = random_sequences(num_items, 5 * num_items, seed)
    vocabulary = learn_vocabulary(
        feature_sets, space.category_names, space.category_sizes, sequences, 2 + space.num_features + 40
    )
    with TemporaryDirectory() as checkpoint:
        write_bundle(
            folder,
            BundleParts(
                preset="tiny",
                dataset_name="tiny shop",
                dataset_fingerprint=f"tiny-{num_items}",
                settings={"seed": seed},
                metrics={"ndcg@10": 0.5},
                vocabulary=vocabulary,
                catalogue=build_catalogue([item.item_id for item in items], feature_sets, Tokenizer(vocabulary)),
                popularity=np.bincount(sequences.items, minlength=num_items),
                items=items,
                generator_folder=write_random_t5(Path(checkpoint), vocabulary.size, seed),
                rules=rules,
                users=users,
                **content,
            ),
        )
    return folder


def plain_sum(*components: str, weights: Sequence[float] = ()) -> Mixture:
    """A mixture with zero layers: the weighted sum of log(1 + score)."""
    width = num_features(len(components))
    layers = ((np.zeros((1, width), dtype=np.float32), np.zeros(1, dtype=np.float32)),)
    return Mixture(
        components,
        (),
        np.ones(len(components)),
        np.array(weights or [1.0] * len(components), dtype=np.float32),
        np.zeros(width, dtype=np.float32),
        np.ones(width, dtype=np.float32),
        layers,
    )
