"""Item embeddings in, semantic ids out. Start at `OpqQuantizer.encode`."""

from clairo_core.quantizers.opq import OpqQuantizer, fit_opq, load_opq

__all__ = ["OpqQuantizer", "fit_opq", "load_opq"]
