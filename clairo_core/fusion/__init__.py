"""Modality embeddings in, item embeddings out, by the scheme that training fitted. Start at `fusion.Fusion`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from clairo_core.errors import FusionError
from clairo_core.fusion import concat_pca
from clairo_core.fusion.attention import AttentionFusion, load_attention
from clairo_core.fusion.concat_pca import ConcatPcaFusion, fit_fusion
from clairo_core.fusion.evened import EvenedFusion, evened, load_evened
from clairo_core.fusion.fusion import FusedItems, Fusion
from clairo_core.fusion.gate import GatedFusion, load_gate
from clairo_core.fusion.projected import AlignedFusion, ProjectedFusion, fit_final_pca
from clairo_core.storage.array_folder import load_array_folder, load_kind

__all__ = [
    "AlignedFusion",
    "AttentionFusion",
    "ConcatPcaFusion",
    "EvenedFusion",
    "FusedItems",
    "Fusion",
    "GatedFusion",
    "ProjectedFusion",
    "evened",
    "fit_final_pca",
    "fit_fusion",
    "load_fusion",
]


def load_fusion(folder: Path) -> Fusion:
    """Load a saved fusion of any scheme.

    Raises:
        FusionError: the folder is damaged, or its scheme is unknown.
    """
    loaders: dict[str, Callable[[Path], Fusion]] = {
        concat_pca.KIND: concat_pca.load_concat_pca,
        GatedFusion.kind: load_gate,
        AttentionFusion.kind: load_attention,
        ProjectedFusion.kind: lambda folder: _load_projected(folder, ProjectedFusion),
        AlignedFusion.kind: lambda folder: _load_projected(folder, AlignedFusion),
        EvenedFusion.kind: lambda folder: load_evened(folder, load_fusion(folder / "content")),
    }
    kind = load_kind(folder, "fusion", FusionError)
    if kind not in loaders:
        raise FusionError(
            f"{folder} holds the fusion scheme {kind!r}, expected one of {', '.join(loaders)}; "
            "update CLAIRO, or fit the fusion again"
        )
    return loaders[kind](folder)


def _load_projected(folder: Path, scheme: type[ProjectedFusion]) -> ProjectedFusion:
    content = load_fusion(folder / "content")
    saved = load_array_folder(folder, "fusion", scheme.kind, FusionError)
    return scheme(
        content,
        saved.array("alignment", np.float32, (content.dim, None)),
        saved.array("content_spread", np.float32, (content.dim,)),
    )
