"""Fit the fusion that the settings name: scheme, weights, alignment of modalities, final PCA. Start at `fuse_content`.

Late fusion is a concatenation whose parts stay separate: `align_by_modality` and `fit_quantizer` give each modality
codebooks of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import numpy as np
from jaxtyping import Bool, Float32
from scipy.linalg import block_diag

from clairo_core.encoders import ModalityEmbeddings
from clairo_core.errors import SettingsError
from clairo_core.fusion import Fusion, fit_final_pca, fit_fusion
from clairo_core.sequences import ItemSequences
from training.config.preset import AlignSettings, FuseSettings
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.evaluation.split import EvaluationSplit
from training.items.align_items import AlignedItems, align_items
from training.items.fit_learned_fusion import fit_attention, fit_gate
from training.items.fit_modality_maps import fit_modality_maps
from training.items.fusion_weights import choose_weights

CONCAT_PCA, GATE, ATTENTION, LATE = "concat_pca", "gate", "attention", "late"
SCHEMES = (CONCAT_PCA, GATE, ATTENTION, LATE)
AUTO = "auto"


def fuse_content(
    embeddings: Mapping[str, ModalityEmbeddings],
    is_fitted: Bool[np.ndarray, "item"],
    training: ItemSequences,
    validation: EvaluationSplit,
    settings: FuseSettings,
    seed: int,
    report: Callable[[str], None],
) -> Fusion:
    """Fit on some training items and on sequences. With `fuse.weights=auto`, the validation split chooses the weights.

    Raises:
        SettingsError: the settings contradict each other or the modalities.
        FusionError: the embeddings cannot be fused.
    """
    check_fuse_settings(settings)
    chosen = {modality: given.select(is_fitted) for modality, given in embeddings.items()}
    maps = None
    if settings.contrastive_dim:
        maps, gain = fit_modality_maps(chosen, settings.contrastive_dim, seed)
        report(f"fuse: modalities aligned, their held-out loss fell by {gain:.0%}")
    # Only the last principal components are whitened.
    whiten = settings.whiten and not settings.final_dim
    content = fit_fusion(chosen, settings.dim_per_modality, seed, whiten=whiten, maps=maps)
    weights = weights_of(settings, tuple(embeddings))
    if settings.weights == (AUTO,) and not len(validation.targets):
        report("fuse: no validation user, so all modalities weigh the same")
    elif settings.weights == (AUTO,):
        parts = dict(
            zip(embeddings, np.split(content.fuse(embeddings).item_embeddings, len(embeddings), axis=1), strict=True)
        )
        weights = choose_weights(parts, validation)
        listed = ", ".join(f"{modality} {weight:g}" for modality, weight in weights.items())
        report(f"fuse: weights chosen on validation: {listed}")
    if weights:
        content = fit_fusion(chosen, settings.dim_per_modality, seed, weights=weights, whiten=whiten, maps=maps)
    fusion: Fusion = content
    if settings.scheme == GATE:
        fusion, gain = fit_gate(content, embeddings, training, seed)
        report(f"fuse: gates learned, their held-out loss fell by {gain:.1%}")
    elif settings.scheme == ATTENTION:
        fusion, gain = fit_attention(content, embeddings, training, seed)
        report(f"fuse: attention learned, its held-out loss fell by {gain:.1%}")
    if settings.final_dim:
        fusion = fit_final_pca(fusion, chosen, settings.final_dim, whiten=settings.whiten, seed=seed)
    return fusion


def check_fuse_settings(settings: FuseSettings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        SettingsError: they do.
    """
    if settings.scheme not in SCHEMES:
        raise SettingsError(f"fuse.scheme is {settings.scheme!r}; expected one of {', '.join(SCHEMES)}")
    if settings.scheme == LATE and settings.final_dim:
        raise SettingsError("fuse.final_dim mixes modalities, fuse.scheme=late keeps them apart; set one of the two")


def weights_of(settings: FuseSettings, modalities: tuple[str, ...]) -> dict[str, float]:
    """Parse `("text=1", "image=0.5")`; empty for no weights and for `auto`.

    Raises:
        SettingsError: a weight names no modality, or is not a positive number.
    """
    weights = {}
    for spelled in settings.weights if settings.weights != (AUTO,) else ():
        modality, _, number = spelled.partition("=")
        try:
            weights[modality.strip()] = float(number)
        except ValueError as error:
            raise SettingsError(f"fuse.weights has {spelled!r}; expected auto, or modality=number") from error
    if not set(weights) <= set(modalities) or not all(0 < weight < np.inf for weight in weights.values()):
        raise SettingsError(
            f"fuse.weights is {', '.join(settings.weights)}; expected positive numbers for {', '.join(modalities)}"
        )
    return weights


def num_separate_parts(settings: FuseSettings, num_modalities: int) -> int:
    """How many parts of an item embedding are aligned and quantized on their own."""
    return num_modalities if settings.scheme == LATE else 1


def codebook_names(settings: FuseSettings, fusion: Fusion, num_codebooks: int) -> list[str]:
    """`code_0`, `code_1` and so on where modalities are fused, or `text_0`, `text_1`, `image_0` where they are not."""
    prefixes = fusion.modalities if settings.scheme == LATE else ("code",)
    return [f"{prefix}_{codebook}" for prefix in prefixes for codebook in range(num_codebooks // len(prefixes))]


def fuse_inputs(settings: FuseSettings) -> dict[str, object]:
    """Inputs of the stage. Settings at their defaults are left out, so that new settings invalidate no old result."""
    plain = FuseSettings()
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    changed = {name: value for name, value in given.items() if value != getattr(plain, name)}
    return {"dim_per_modality": settings.dim_per_modality, **changed}


def align_by_modality(
    content: Float32[np.ndarray, "item content"],
    num_modalities: int,
    is_training: Bool[np.ndarray, "item"],
    training: ItemSequences,
    settings: AlignSettings,
    seed: int,
    is_held_out: Bool[np.ndarray, "item"],
    engine: Engine = IN_THIS_PROCESS,
) -> AlignedItems:
    """`align_items` for each modality's part, concatenated to `align.dim` columns.

    Raises:
        SettingsError: `align.dim` is not a multiple of the number of modalities.
    """
    if settings.dim % num_modalities:
        raise SettingsError(
            f"align.dim is {settings.dim}; expected a multiple of {num_modalities}, as fuse.scheme=late gives each "
            "modality the same share"
        )
    share = replace(settings, dim=settings.dim // num_modalities)
    parts = [
        align_items(part, is_training, training, share, seed, is_held_out, engine)
        for part in np.split(content, num_modalities, axis=1)
    ]
    return AlignedItems(
        block_diag(*(part.alignment for part in parts)).astype(np.float32),
        np.concatenate([part.item_embeddings for part in parts], axis=1),
        float(np.mean([part.explained for part in parts])),
    )
