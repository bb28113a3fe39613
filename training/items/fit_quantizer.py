"""Fit the quantizer that the settings name. Start at `fit_quantizer`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from scipy.linalg import block_diag

from clairo_core.errors import QuantizerError, SettingsError
from clairo_core.progress import Progress
from clairo_core.quantizers import OpqQuantizer, Quantizer, SideBySide, fit_opq
from training.config.preset import KMEANS, OPQ, RQ, AutoencoderSettings, QuantizeSettings
from training.items.fit_autoencoder import fit_autoencoder
from training.items.fit_residual import fit_residual_kmeans, fit_rq


@dataclass(frozen=True, slots=True)
class QuantizerFit:
    """How to fit: settings, seed, and what an autoencoder needs."""

    quantize: QuantizeSettings
    autoencoder: AutoencoderSettings
    seed: int
    device: torch.device
    progress: Progress[int]


def fit_quantizer(
    item_embeddings: Float32[np.ndarray, "item dim"],
    num_parts: int,
    fit: QuantizerFit,
    behaviour: Float64[np.ndarray, "item latent"] | None = None,
) -> Quantizer:
    """Fit on training items. With several parts, such as modalities, each has an equal number of codebooks of its own.

    Args:
        item_embeddings: equal parts side by side.
        num_parts: how many.
        fit: settings.
        behaviour: vectors of the same items for `autoencoder.collaborative_weight`; None leaves its loss out.

    Raises:
        SettingsError: the number of codebooks is not a multiple of the number of parts.
        QuantizerError: an embedding is not finite, a number is out of range, or there are fewer than two items.
        TrainingError: an autoencoder's loss diverges.
    """
    if item_embeddings.ndim != 2 or len(item_embeddings) < 2 or not np.isfinite(item_embeddings).all():
        raise QuantizerError(
            f"item embeddings of shape {item_embeddings.shape} are fewer than two rows, or have values that are not "
            "finite; add items, or check the fusion"
        )
    num_codebooks = codebooks_for(item_embeddings.shape[1], num_parts, fit.quantize)
    if num_codebooks % num_parts:
        raise SettingsError(
            f"quantize.num_codebooks is {num_codebooks}; expected a multiple of {num_parts}, as fuse.scheme=late "
            "gives each modality the same number"
        )
    parts = [
        _fit_part(np.ascontiguousarray(part), num_codebooks // num_parts, fit, behaviour)
        for part in np.split(item_embeddings, num_parts, axis=1)
    ]
    return parts[0] if len(parts) == 1 else side_by_side(parts)


def side_by_side(parts: Sequence[Quantizer]) -> Quantizer:
    """One quantizer whose codebooks see one part each. Rotations side by side are one rotation, so OPQ stays OPQ."""
    rotated = [part for part in parts if isinstance(part, OpqQuantizer)]
    if len(rotated) < len(parts):
        return SideBySide(tuple(parts))
    return OpqQuantizer(
        block_diag(*(part.rotation for part in rotated)).astype(np.float32),
        np.concatenate([part.codebooks for part in rotated]),
    )


def codebooks_for(dim: int, num_parts: int, settings: QuantizeSettings) -> int:
    """The setting; for OPQ the largest number up to it that splits every part into equal pieces.

    >>> long = QuantizeSettings(num_codebooks=16)
    >>> [codebooks_for(dim, num_parts, long) for dim, num_parts in ((128, 1), (40, 1), (6, 1), (24, 2))]
    [16, 10, 6, 12]
    """
    wanted = settings.num_codebooks
    if settings.kind != OPQ or wanted % num_parts:
        return wanted
    of_each = wanted // num_parts
    while dim // num_parts % of_each:
        of_each -= 1
    return of_each * num_parts


def centroids_for(num_items: int, settings: QuantizeSettings) -> int:
    """The largest power of two that leaves every centroid enough training items, up to the setting.

    >>> [centroids_for(num_items, QuantizeSettings()) for num_items in (20, 1_000, 5_000, 1_000_000)]
    [2, 64, 256, 256]
    """
    enough = max(2, num_items // settings.min_items_per_centroid)
    return min(settings.num_centroids, 1 << (enough.bit_length() - 1))


def why_fewer(
    quantizer: Quantizer, dim: int, num_items: int, settings: QuantizeSettings, sized_by: str, size: int
) -> str:
    """Why there are fewer codebooks or centroids than the settings ask for; empty if there are as many.

    Args:
        quantizer: as fitted.
        dim: length of an item embedding.
        num_items: the quantizer was fitted on.
        settings: what was asked for.
        sized_by: name of the setting that `dim` is a multiple of.
        size: its value.
    """
    reasons = []
    wanted, found = settings.num_codebooks, quantizer.num_codebooks
    if found < wanted:
        step = wanted // math.gcd(wanted, dim // size)
        way_out = f"; {sized_by}={-(-size // step) * step} gives {wanted}" if dim % size == 0 else ""
        reasons.append(f"{wanted} codebooks asked for, {dim} dimensions divide into {found}{way_out}")
    if quantizer.num_centroids < settings.num_centroids:
        reasons.append(
            f"{settings.num_centroids} centroids asked for, {num_items} training items give {quantizer.num_centroids} "
            f"at quantize.min_items_per_centroid={settings.min_items_per_centroid}"
        )
    return "; ".join(reasons)


def _fit_part(
    vectors: Float32[np.ndarray, "item dim"],
    num_codebooks: int,
    fit: QuantizerFit,
    behaviour: Float64[np.ndarray, "item latent"] | None,
) -> Quantizer:
    settings, num_centroids = fit.quantize, centroids_for(len(vectors), fit.quantize)
    if settings.kind == OPQ:
        return fit_opq(vectors, num_codebooks, num_centroids, seed=fit.seed, num_iterations=settings.num_iterations)
    if settings.kind == RQ:
        return fit_rq(vectors, num_codebooks, num_centroids, fit.seed, num_iterations=settings.num_iterations)
    if settings.kind == KMEANS:
        return fit_residual_kmeans(vectors, num_codebooks, num_centroids, fit.seed)
    return fit_autoencoder(
        vectors,
        num_codebooks,
        num_centroids,
        fit.autoencoder,
        behaviour,
        seed=fit.seed,
        device=fit.device,
        progress=fit.progress,
    )
