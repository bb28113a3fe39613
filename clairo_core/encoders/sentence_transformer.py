"""Encode an item's words by any sentence-transformers model. Start at `SentenceTransformerEncoder.encode`.

Only a model given by its name on the hub is downloaded.

Source: Reimers and Gurevych 2019, "Sentence-BERT"; Ni et al. 2022, "Sentence-T5", is the default. We differ: an
item's text fields are joined to one text, without prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32

from clairo_core.encoders.encoder import ModalityEmbeddings
from clairo_core.encoders.item_content import TEXT, batches_of, normalized_text
from clairo_core.encoders.optional_library import optional_library, quiet_transformers
from clairo_core.errors import EncoderError
from clairo_core.items import Item
from clairo_core.progress import Progress, silent
from clairo_core.storage.array_folder import load_array_folder, save_array_folder

DEFAULT_MODEL = "sentence-transformers/sentence-t5-base"
BATCH_SIZE = 64


class SentenceTransformerEncoder:
    """Words -> text embedding. Make one with `from_pretrained`."""

    kind: ClassVar[str] = "sentence-transformers"
    modality: ClassVar[str] = TEXT

    def __init__(self, model: Any, source: str) -> None:
        self.model = model.eval()
        self.source = source
        # The method that returns the dimension has different names across releases.
        self.dim = int(self.embed(["length"]).shape[1])

    @property
    def name(self) -> str:
        """The library and the model, such as `sentence-transformers:sentence-t5-base`."""
        return f"{self.kind}:{self.source}"

    @classmethod
    def from_pretrained(cls, name_or_folder: str = DEFAULT_MODEL) -> "SentenceTransformerEncoder":
        """Load a model from a local folder, or by its name from the hub or its cache.

        Raises:
            EncoderError: the library is not installed, or the model does not exist.
        """
        folder = Path(name_or_folder).expanduser()
        if not folder.is_dir() and not is_hub_name(name_or_folder):
            raise EncoderError(
                f"{name_or_folder!r} is not a folder; give one that sentence-transformers wrote, "
                f"or a model's name on the hub such as {DEFAULT_MODEL}"
            )
        return cls(_loaded(name_or_folder, folder), folder.name)

    def encode(self, items: Sequence[Item], progress: Progress = silent) -> ModalityEmbeddings:
        """Embed each item's words; missing if there are none."""
        return encode_texts(self, items, BATCH_SIZE, progress)

    def save(self, folder: Path) -> None:
        """Write encoder.json, and the model in the library's own format into a subfolder."""
        with quiet_transformers():
            self.model.save_pretrained(str(folder / "model"), create_model_card=False)
        header = {"modality": self.modality, "source": self.source}
        save_array_folder(folder, "encoder", self.kind, {"dim": np.array([self.dim], np.int64)}, header)

    @classmethod
    def load(cls, folder: Path, *, use_gpu: bool = True) -> "SentenceTransformerEncoder":
        """Load a saved encoder; on a GPU, if available, in bfloat16.

        Raises:
            EncoderError: the folder is damaged or holds something else, or the library is not installed.
        """
        source = load_array_folder(folder, "encoder", cls.kind, EncoderError).text("source")
        model = _loaded(str(folder / "model"), folder / "model")
        if use_gpu and torch.cuda.is_available():
            # T5 overflows in float16.
            model = model.to("cuda", torch.bfloat16)
        return cls(model, source)

    def embed(self, texts: Sequence[str]) -> Float32[np.ndarray, "text dim"]:
        """Embed texts."""
        with torch.inference_mode():
            embedded = self.model.encode(
                list(texts), batch_size=BATCH_SIZE, show_progress_bar=False, convert_to_tensor=True
            )
        return np.asarray(embedded.float().cpu().numpy(), np.float32)


def encode_texts(encoder: Any, items: Sequence[Item], batch_size: int, progress: Progress) -> ModalityEmbeddings:
    """Embed the words of items that have any in batches, for an encoder with `embed`, `dim` and `source`."""
    vectors = np.zeros((len(items), encoder.dim), np.float32)
    texts = [normalized_text(item) for item in items]
    is_present = np.array([bool(text) for text in texts], np.bool_)
    for start, batch in batches_of(items, batch_size, f"encoding texts by {encoder.source}", progress):
        rows = [row for row in range(start, start + len(batch)) if is_present[row]]
        if rows:
            vectors[rows] = encoder.embed([texts[row] for row in rows])
    return ModalityEmbeddings(vectors, is_present)


def is_hub_name(name: str) -> bool:
    """Whether `name` can be a model's name on the hub: `model` or `owner/model`.

    >>> [is_hub_name(name) for name in ("sentence-t5-base", "owner/model", "./model", "/models/mine", "a/b/c")]
    [True, True, False, False, False]
    """
    return bool(name) and name[0] not in "./~" and name.count("/") <= 1


def _loaded(name: str, folder: Path) -> Any:
    library = optional_library("sentence_transformers", "sentence-transformers")
    is_local = folder.is_dir()
    try:
        with quiet_transformers():
            return library.SentenceTransformer(
                str(folder) if is_local else name, device="cpu", local_files_only=is_local, trust_remote_code=False
            )
    except Exception as error:
        # The library, transformers and the hub's client raise many kinds of errors.
        where = f"the folder {folder}" if is_local else f"{name} (not a folder, so looked up on the hub)"
        raise EncoderError(
            f"sentence-transformers cannot load {where}: {error}; check the name, or give a folder"
        ) from error
