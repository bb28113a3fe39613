"""Stage: one modality of every item -> an encoder and the items' embeddings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from clairo_core.bundle.bundle import Bundle
from clairo_core.encoders import ModalityEmbeddings, ModalityEncoder, load_encoder
from clairo_core.encoders.item_content import TEXT
from training.items.choose_encoder import LEARNED, encoder_inputs, encoder_setting, make_encoder
from training.items.encode_items import encode_items, load_embeddings
from training.items.fit_image_encoder import fit_image_encoder
from training.workbench.workbench import Workbench


@dataclass(frozen=True, slots=True)
class EncodedItems:
    """An encoder and every item's embedding. Both are read on demand: they may take gigabytes."""

    folder: Path
    key: str

    def embeddings(self) -> ModalityEmbeddings:
        """Every item's embedding, by row."""
        return load_embeddings(self.folder / "embeddings.npz")

    def encoder(self) -> ModalityEncoder:
        """The encoder, as saved."""
        return load_encoder(self.folder / "encoder")


def encode_stage(bench: Workbench, modality: str) -> EncodedItems:
    """Encode every item. An encoder that is fitted sees training items that are not held out."""
    settings, teachers = bench.preset.encode, list(compress(bench.dataset.items, bench.teaches))
    is_learned = modality != TEXT and encoder_setting(modality, settings) == LEARNED
    # A learned image encoder learns from words, whether or not they are fused as well.
    words = encode_stage(bench, TEXT) if is_learned else None

    def new_encoder(folder: Path) -> ModalityEncoder:
        if words is None:
            return make_encoder(modality, teachers, settings, bench.seed, bench.progress)
        return fit_image_encoder(
            folder,
            teachers,
            words.embeddings().select(bench.teaches),
            settings,
            bench.device,
            bench.seed,
            progress=bench.progress,
            report=bench.report,
        )

    inputs: dict[str, object] = {
        "dataset": bench.dataset.fingerprint,
        "modality": modality,
        "seed": bench.seed,
        # Which items are held out follows from seed, dataset and number: fewer are a part of more.
        "num_held_out": int(bench.is_held_out.sum()),
        **encoder_inputs(modality, settings),
        **({} if words is None else {"words": words.key}),
    }
    return _encoded(bench, modality, inputs, new_encoder)


def carried_encode_stage(bench: Workbench, bundle: Bundle, modality: str) -> EncodedItems:
    """Encode every item with the encoder of an earlier bundle."""
    inputs = {"dataset": bench.dataset.fingerprint, "modality": modality, "carried": bundle.manifest.bundle_id}
    return _encoded(bench, modality, inputs, lambda _folder: bundle.encoders[modality])


def _encoded(
    bench: Workbench, modality: str, inputs: Mapping[str, object], new_encoder: Callable[[Path], ModalityEncoder]
) -> EncodedItems:
    def build(folder: Path) -> None:
        cache = bench.stages.folder / "embeddings"
        encode_items(
            folder, modality, bench.dataset.items, lambda: new_encoder(folder), cache, bench.progress, bench.engine
        )

    def load(folder: Path) -> ModalityEmbeddings:
        # The bundle's stage reads it, hours later.
        load_encoder(folder / "encoder")
        return load_embeddings(folder / "embeddings.npz")

    stage = bench.stages.run(f"encode-{modality}", inputs, build, load)
    return EncodedItems(stage.folder, stage.key)
