"""Stage: item embeddings -> a quantizer, and every item's codes."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int32

from clairo_core.quantizers import Quantizer, load_quantizer
from training.config.preset import RQVAE, VQVAE, Preset
from training.items.behaviour import behaviour_vectors
from training.items.fit_quantizer import QuantizerFit, fit_quantizer, why_fewer
from training.items.fit_residual import balanced_last_level
from training.items.fuse_content import num_separate_parts
from training.items.fuse_stage import FusedContent
from training.workbench.workbench import Workbench


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedItems:
    """A quantizer of item embeddings, and the catalogue's codes."""

    quantizer: Quantizer
    semantic_ids: Int32[np.ndarray, "item codebook"]
    """The nearest codes, unless `quantize.balanced_last_level` evens them out."""
    key: str
    why_fewer: str
    """Why there are fewer codebooks or centroids than asked for; empty if there are as many."""


def quantize_stage(bench: Workbench, content: FusedContent) -> QuantizedItems:
    """Fit the quantizer on training items, held-out ones included, and quantize all items."""
    preset = bench.preset
    settings, num_parts = preset.quantize, num_separate_parts(preset.fuse, len(content.fusion.modalities))
    item_embeddings = content.fused.item_embeddings
    has_network = settings.kind in (RQVAE, VQVAE)

    def build(folder: Path) -> None:
        fit = QuantizerFit(settings, preset.autoencoder, bench.seed, bench.device, bench.progress)
        behaviour = _behaviour(bench) if has_network and preset.autoencoder.collaborative_weight else None
        fit_quantizer(item_embeddings[bench.is_training], num_parts, fit, behaviour).save(folder)

    inputs: dict[str, object] = {"fused": content.key, "settings": asdict(settings), "seed": bench.seed}
    if has_network:
        inputs |= {"autoencoder": asdict(preset.autoencoder), "window": preset.align.window}
    stage = bench.stages.run("quantize", inputs, build, load_quantizer)
    quantizer = stage.result
    semantic_ids = quantizer.encode(item_embeddings)
    if settings.balanced_last_level:
        last_distances = np.stack(
            [
                quantizer.code_distances(embedding)(codes[:-1])
                for embedding, codes in zip(item_embeddings, semantic_ids.tolist(), strict=True)
            ]
        )
        semantic_ids = balanced_last_level(semantic_ids, last_distances)
    dim, num_items = item_embeddings.shape[1], int(bench.is_training.sum())
    why = why_fewer(quantizer, dim, num_items, settings, *_sized_by(preset, content))
    return QuantizedItems(quantizer, semantic_ids, stage.key, why)


def _sized_by(preset: Preset, content: FusedContent) -> tuple[str, int]:
    """The setting that gives item embeddings their length, and its value."""
    if content.is_aligned:
        return "align.dim", preset.align.dim
    if preset.fuse.final_dim:
        return "fuse.final_dim", preset.fuse.final_dim
    return "fuse.dim_per_modality", preset.fuse.dim_per_modality


def _behaviour(bench: Workbench) -> Float[np.ndarray, "item latent"]:
    """Training items' vectors by what they are used with, for LETTER's collaborative loss."""
    vectors = behaviour_vectors(
        bench.crowd,
        len(bench.dataset.items),
        dim=bench.preset.autoencoder.latent_dim,
        window=bench.preset.align.window,
        seed=bench.seed,
        engine=bench.engine,
    )
    return np.asarray(vectors[bench.is_training])
