"""Item embeddings in, semantic ids out. Start at `quantizer.Quantizer`."""

from collections.abc import Callable
from pathlib import Path

from clairo_core.errors import QuantizerError
from clairo_core.quantizers import opq
from clairo_core.quantizers.opq import OpqQuantizer, fit_opq, load_opq
from clairo_core.quantizers.quantizer import CodeDistances, Quantizer
from clairo_core.storage.array_folder import load_kind

__all__ = ["CodeDistances", "OpqQuantizer", "Quantizer", "fit_opq", "load_opq", "load_quantizer"]


def load_quantizer(folder: Path) -> Quantizer:
    """Load a saved quantizer of any kind.

    Raises:
        QuantizerError: the folder is damaged, or its kind is unknown.
    """
    loaders: dict[str, Callable[[Path], Quantizer]] = {opq.KIND: load_opq}
    kind = load_kind(folder, "quantizer", QuantizerError)
    if kind not in loaders:
        raise QuantizerError(
            f"{folder} holds the quantizer {kind!r}, expected one of {', '.join(loaders)}; "
            "update CLAIRO, or fit the quantizer again"
        )
    return loaders[kind](folder)
