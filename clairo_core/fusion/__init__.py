"""Fusion: the modality embeddings of an item to one item embedding, by the scheme that training fitted."""

from pathlib import Path

from clairo_core.array_folder import load_kind
from clairo_core.errors import FusionError
from clairo_core.fusion import aligned, concat_pca
from clairo_core.fusion.aligned import AlignedFusion
from clairo_core.fusion.concat_pca import ConcatPcaFusion, fit_fusion
from clairo_core.fusion.fusion import FusedItems, Fusion

__all__ = ["AlignedFusion", "ConcatPcaFusion", "FusedItems", "Fusion", "fit_fusion", "load_fusion"]


def load_fusion(folder: Path) -> Fusion:
    """Read a fusion that `save` wrote.

    Raises:
        FusionError: the folder is damaged, or holds a scheme that this CLAIRO does not know.
    """
    kind = load_kind(folder, "fusion", FusionError)
    if kind == concat_pca.KIND:
        return concat_pca.load_concat_pca(folder)
    if kind == aligned.KIND:
        return aligned.load_aligned(folder)
    raise FusionError(
        f"{folder} holds the fusion scheme {kind!r}, this CLAIRO knows {concat_pca.KIND} and {aligned.KIND}; "
        "update CLAIRO, or fit the fusion again"
    )
