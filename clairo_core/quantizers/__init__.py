"""Item embeddings in, semantic ids out. Start at `quantizer.Quantizer`."""

from collections.abc import Callable
from pathlib import Path

from clairo_core.errors import QuantizerError
from clairo_core.quantizers import autoencoded, opq, residual, side_by_side
from clairo_core.quantizers.autoencoded import AutoencodedQuantizer
from clairo_core.quantizers.opq import OpqQuantizer, fit_opq
from clairo_core.quantizers.quantizer import CodeDistances, Quantizer
from clairo_core.quantizers.residual import ResidualQuantizer
from clairo_core.quantizers.side_by_side import SideBySide
from clairo_core.storage.array_folder import load_kind

__all__ = [
    "AutoencodedQuantizer",
    "CodeDistances",
    "OpqQuantizer",
    "Quantizer",
    "ResidualQuantizer",
    "SideBySide",
    "fit_opq",
    "load_quantizer",
]


def load_quantizer(folder: Path) -> Quantizer:
    """Load a saved quantizer of any kind.

    Raises:
        QuantizerError: the folder is damaged, or its kind is unknown.
    """
    loaders: dict[str, Callable[[Path], Quantizer]] = {
        opq.KIND: opq.load_opq,
        residual.KIND: residual.load_residual,
        autoencoded.KIND: autoencoded.load_autoencoded,
        side_by_side.KIND: lambda folder: side_by_side.load_side_by_side(folder, load_quantizer),
    }
    kind = load_kind(folder, "quantizer", QuantizerError)
    if kind not in loaders:
        raise QuantizerError(
            f"{folder} holds the quantizer {kind!r}, expected one of {', '.join(loaders)}; "
            "update CLAIRO, or fit the quantizer again"
        )
    return loaders[kind](folder)
