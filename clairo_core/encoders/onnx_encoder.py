"""Run an exported text or image encoder by ONNX Runtime, without its original library.

An export is one folder: encoder.json, model.onnx (with model.onnx.data if large), and for texts tokenizer.json.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.encoders.item_content import IMAGE, TEXT
from clairo_core.encoders.open_clip_image import encode_pictures
from clairo_core.encoders.optional_library import optional_library
from clairo_core.encoders.picture_preparation import PicturePreparation
from clairo_core.encoders.sentence_transformer import encode_texts
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

MODEL_FILE, TOKENIZER_FILE = "model.onnx", "tokenizer.json"
OUTPUT = "modality_embedding"
_BATCH_SIZE = 32


class OnnxEncoder:
    """What both kinds of exports share."""

    kind: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.saved = load_array_folder(folder, "encoder", self.kind, EncoderError)
        self.folder, self.source = folder, self.saved.text("source")
        self.dim = int(self.saved.array("dim", np.int64, (1,))[0])
        self._session = onnx_session(folder / MODEL_FILE)

    @property
    def name(self) -> str:
        """`onnx:` and the name of the exported encoder."""
        return f"onnx:{self.source}"

    def save(self, folder: Path) -> None:
        """Copy the export."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


class OnnxTextEncoder(OnnxEncoder):
    """Words -> text embedding. Made by training's export."""

    kind: ClassVar[str] = "onnx-text"
    modality: ClassVar[str] = TEXT

    def __init__(self, folder: Path) -> None:
        """Read an export.

        Raises:
            EncoderError: the folder is damaged or holds something else, or a library is not installed.
        """
        super().__init__(folder)
        self._inputs = [given.name for given in self._session.get_inputs()]
        tokenizers = optional_library("tokenizers", "tokenizers")
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        except Exception as error:
            # The library raises bare exceptions.
            raise EncoderError(f"{folder / TOKENIZER_FILE} cannot be read ({error}); copy the folder again") from error

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Embed each item's words; missing if there are none."""
        return encode_texts(self, items, _BATCH_SIZE, progress)

    def embed(self, texts: Sequence[str]) -> Float32[np.ndarray, "text dim"]:
        """Embed texts."""
        tokens = self._tokenizer.encode_batch(list(texts))
        columns = {
            "input_ids": [text.ids for text in tokens],
            "attention_mask": [text.attention_mask for text in tokens],
            "token_type_ids": [text.type_ids for text in tokens],
        }
        given = {name: np.array(columns[name], np.int64) for name in self._inputs}
        return np.asarray(self._session.run([OUTPUT], given)[0], np.float32)


class OnnxImageEncoder(OnnxEncoder):
    """Picture -> image embedding. Made by training's export."""

    kind: ClassVar[str] = "onnx-image"
    modality: ClassVar[str] = IMAGE

    def __init__(self, folder: Path) -> None:
        """Read an export.

        Raises:
            EncoderError: the folder is damaged or holds something else, or ONNX Runtime is not installed.
        """
        super().__init__(folder)
        self.preparation = PicturePreparation.from_header(self.saved.header.get("preparation"))

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Embed each item's picture; missing if there is none, or it is unreadable."""
        return encode_pictures(self, items, progress)

    def embed(self, prepared: Float32[np.ndarray, "picture 3 height width"]) -> Float32[np.ndarray, "picture dim"]:
        """Embed prepared pictures."""
        return np.asarray(self._session.run([OUTPUT], {"pictures": prepared})[0], np.float32)


def write_export_header(folder: Path, kind: str, source: str, dim: int, **header: object) -> None:
    """Write encoder.json beside an exported model."""
    modality = {OnnxTextEncoder.kind: TEXT, OnnxImageEncoder.kind: IMAGE}[kind]
    header_fields = {"modality": modality, "source": source, **header}
    save_array_folder(folder, "encoder", kind, {"dim": np.array([dim], np.int64)}, header_fields)


def onnx_session(path: Path) -> Any:
    """Open a model in ONNX Runtime: on a GPU if torch finds one, else on as many cores as torch uses.

    Raises:
        EncoderError: ONNX Runtime is not installed, or cannot read the file.
    """
    runtime = optional_library("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Waiting threads must sleep: spinning takes cores from other work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    wanted = ["CUDAExecutionProvider"] if torch.cuda.is_available() else []
    providers = [name for name in [*wanted, "CPUExecutionProvider"] if name in runtime.get_available_providers()]
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        # The runtime's own error classes have no narrower base.
        raise EncoderError(f"{path} cannot be run by ONNX Runtime ({error}); export the encoder again") from error
