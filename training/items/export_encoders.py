"""Write a bundle's encoders as ONNX, so that serving needs none of their libraries. Start at `export_encoders`.

The new bundle is written aside and renamed. It has an id of its own: an export agrees with its original closely, not
exactly. Built-in encoders, precomputed vectors and earlier exports are copied.
"""

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clairo_core.bundle.manifest import (
    MANIFEST_FILE,
    MEASURED_GENERATOR,
    BundleManifest,
    bundle_id_of,
    digests_of,
    read_manifest,
    verify_files,
    write_manifest,
)
from clairo_core.encoders import (
    LearnedImageEncoder,
    ModalityEncoder,
    OnnxImageEncoder,
    OnnxTextEncoder,
    OpenClipEncoder,
    SentenceTransformerEncoder,
    load_encoder,
)
from clairo_core.encoders.onnx_encoder import MODEL_FILE, OUTPUT, TOKENIZER_FILE, write_export_header
from clairo_core.encoders.optional_library import optional_library
from clairo_core.errors import BundleError, EncoderError
from clairo_core.items import Item
from clairo_core.storage.replaced_folder import replaced_folder

MIN_COSINE = 0.999
_OPSET = 18
_NOT_RECOMMENDING = ("report/", f"{MEASURED_GENERATOR}/")
"""No part of the bundle's id."""
_TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_SAMPLE_TEXTS = ("a", "two words", "A longer text. " * 12, "Ein Text, 一些文字, немного слов 123")


def export_encoders(bundle: Path, out: Path | None, report: Callable[[str], None]) -> BundleManifest:
    """Write the bundle again with its encoders as ONNX, to `out` or in its own place.

    Raises:
        BundleError: the bundle is missing or damaged, or `out` is not a bundle.
        EncoderError: an encoder cannot be exported, or its export disagrees with it.
    """
    manifest = read_manifest(bundle)
    verify_files(bundle, manifest)
    with replaced_folder(out or bundle, marker=MANIFEST_FILE, expected="a bundle", error=BundleError) as aside:
        for name in manifest.files:
            if not name.startswith(("encoders/", *_NOT_RECOMMENDING)):
                _copy(bundle / name, aside / name)
        encoders = {}
        for modality, name in manifest.encoders.items():
            target = aside / "encoders" / modality
            target.mkdir(parents=True)
            encoder = load_encoder(bundle / "encoders" / modality, use_gpu=False)
            exported = export_encoder(encoder, target)
            encoders[modality] = exported.name
            report(f"{modality}: {name} -> {exported.name}" if exported.name != name else f"{modality}: {name}, copied")
        bundle_id = bundle_id_of(manifest.dataset_name, digests_of(aside), manifest.serving)
        for name in manifest.files:
            if name.startswith(_NOT_RECOMMENDING):
                _copy(bundle / name, aside / name)
        written = replace(
            manifest,
            bundle_id=bundle_id,
            encoders=encoders,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            files=digests_of(aside),
        )
        write_manifest(aside, written)
    return written


def export_encoder(encoder: ModalityEncoder, folder: Path) -> ModalityEncoder:
    """Fill `folder` with the encoder as ONNX, or with a copy if that has no use. Returns the written encoder.

    Raises:
        EncoderError: it cannot be exported, or the export's cosine to it is below 0.999.
    """
    if isinstance(encoder, SentenceTransformerEncoder):
        _export_text(encoder, folder)
        samples = [Item(item_id=str(row), texts={"text": text}) for row, text in enumerate(_SAMPLE_TEXTS)]
        exported: ModalityEncoder = OnnxTextEncoder(folder)
        _check_agreement(encoder.encode(samples).vectors, exported.encode(samples).vectors, encoder.name)
        return exported
    if isinstance(encoder, OpenClipEncoder | LearnedImageEncoder):
        _export_image(encoder, folder)
        found = OnnxImageEncoder(folder)
        height, width = encoder.preparation.height, encoder.preparation.width
        pictures = np.random.default_rng(0).normal(size=(3, 3, height, width)).astype(np.float32)
        _check_agreement(encoder.embed(pictures), found.embed(pictures), encoder.name)
        return found
    encoder.save(folder)
    return encoder


class _TextNetwork(nn.Module):
    """A sentence-transformer from tokens to the embedding."""

    def __init__(self, model: Any, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.inputs = model, inputs

    def forward(self, *tensors: Tensor) -> Tensor:
        embedding: Tensor = self.model(dict(zip(self.inputs, tensors, strict=True)))["sentence_embedding"]
        return embedding


class _PictureNetwork(nn.Module):
    """An image encoder's `forward` in a module that owns its weights, as the exporter expects."""

    def __init__(self, encoder: OpenClipEncoder | LearnedImageEncoder) -> None:
        super().__init__()
        self.network = encoder.visual if isinstance(encoder, OpenClipEncoder) else encoder.network
        self.embed = encoder.forward

    def forward(self, pictures: Tensor) -> Tensor:
        return self.embed(pictures)


def _export_text(encoder: SentenceTransformerEncoder, folder: Path) -> None:
    tokenizer = encoder.model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise EncoderError(
            f"{encoder.name} has a tokenizer without tokenizer.json, expected a fast tokenizer; use another model"
        )
    tokens = encoder.model.preprocess(["a few words", "some more words than that"])
    inputs = [name for name in _TEXT_INPUTS if name in tokens]
    backend.enable_truncation(encoder.model.max_seq_length or 512)
    backend.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    backend.save(str(folder / TOKENIZER_FILE))
    network = _TextNetwork(encoder.model, inputs)
    axes = {name: {0: "text", 1: "token"} for name in inputs}
    _export(network, tuple(tokens[name] for name in inputs), folder / MODEL_FILE, axes)
    write_export_header(folder, OnnxTextEncoder.kind, encoder.name, encoder.dim)


def _export_image(encoder: OpenClipEncoder | LearnedImageEncoder, folder: Path) -> None:
    pictures = torch.zeros((2, 3, encoder.preparation.height, encoder.preparation.width))
    _export(_PictureNetwork(encoder), (pictures,), folder / MODEL_FILE, {"pictures": {0: "picture"}})
    preparation = encoder.preparation.as_header()
    write_export_header(folder, OnnxImageEncoder.kind, encoder.name, encoder.dim, preparation=preparation)


def _export(network: nn.Module, example: tuple[Tensor, ...], path: Path, axes: dict[str, dict[int, str]]) -> None:
    """`axes`: input name -> its dynamic axes, in the order of `example`."""
    optional_library("onnx", "onnx")
    # torch's newer exporter fails on T5 with a dynamic length. The older one warns of traced constants: the export is
    # compared with the original on other sizes right after.
    with warnings.catch_warnings(), torch.inference_mode(), _plain_attention():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            example,
            str(path),
            input_names=list(axes),
            output_names=[OUTPUT],
            dynamic_axes=axes | {OUTPUT: {0: next(iter(axes.values()))[0]}},
            opset_version=_OPSET,
            dynamo=False,
        )


@contextmanager
def _plain_attention() -> Iterator[None]:
    """torch's fused attention has no counterpart in ONNX."""
    was_fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fused)


def _check_agreement(original: np.ndarray, exported: np.ndarray, name: str) -> None:
    lengths = np.linalg.norm(original, axis=1) * np.linalg.norm(exported, axis=1)
    least = float((np.einsum("ij,ij->i", original, exported) / np.maximum(lengths, 1e-12)).min())
    if not least >= MIN_COSINE:
        raise EncoderError(
            f"the export of {name} gives other vectors (cosine {least:.4f}, expected at least {MIN_COSINE}); "
            "serve the bundle as it is, with the library installed"
        )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
