"""Make the encoder that the settings name: built-in, from a library, or precomputed vectors. Start at `make_encoder`.

    encode.text_encoder    builtin | sentence-transformers[:NAME_OR_FOLDER]
    encode.image_encoder   builtin | open_clip[:NAME/TAG or FOLDER] | learned

Any other modality than text and image is a column of vectors in the items table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from clairo_core.bundle.manifest import digests_of
from clairo_core.encoders import (
    BuiltinImageEncoder,
    BuiltinTextEncoder,
    ModalityEncoder,
    OpenClipEncoder,
    PrecomputedEncoder,
    SentenceTransformerEncoder,
)
from clairo_core.encoders import open_clip_image as open_clip
from clairo_core.encoders import sentence_transformer as sentence_transformers
from clairo_core.encoders.item_content import IMAGE, TEXT
from clairo_core.errors import SettingsError
from clairo_core.items import Item
from clairo_core.progress import Progress
from training.config.preset import EncodeSettings

BUILTIN, LEARNED = "builtin", "learned"
_TEXT_LIBRARY, _IMAGE_LIBRARY = SentenceTransformerEncoder.kind, OpenClipEncoder.kind


def make_encoder(
    modality: str,
    training_items: Sequence[Item],
    settings: EncodeSettings,
    seed: int,
    progress: Progress[Item],
) -> ModalityEncoder:
    """Make the encoder of `modality`, fitted on training items if need be. `fit_image_encoder` makes `learned`.

    Args:
        modality: "text", "image", or the name of precomputed vectors.
        training_items: the items to fit on.
        settings: which encoder.
        seed: of the fit.
        progress: over items.

    Raises:
        SettingsError: the setting does not name an encoder.
        EncoderError: it cannot be loaded or fitted.
    """
    spelled = encoder_setting(modality, settings)
    if modality not in (TEXT, IMAGE):
        return PrecomputedEncoder.fit(training_items, modality)
    if modality == TEXT:
        if spelled == BUILTIN:
            return BuiltinTextEncoder.fit(training_items, dim=settings.text_dim, seed=seed)
        return SentenceTransformerEncoder.from_pretrained(model_name(spelled) or sentence_transformers.DEFAULT_MODEL)
    if spelled == BUILTIN:
        return BuiltinImageEncoder.fit(training_items, seed=seed, progress=progress)
    return OpenClipEncoder.from_pretrained(model_name(spelled) or open_clip.DEFAULT_MODEL)


def encoder_setting(modality: str, settings: EncodeSettings) -> str:
    """The setting that names the encoder of this modality.

    Raises:
        SettingsError: it does not name an encoder.
    """
    plain: tuple[str, ...]
    if modality == TEXT:
        spelled, plain, library = settings.text_encoder, (BUILTIN,), _TEXT_LIBRARY
    elif modality == IMAGE:
        spelled, plain, library = settings.image_encoder, (BUILTIN, LEARNED), _IMAGE_LIBRARY
    else:
        return PrecomputedEncoder.kind
    if spelled in plain or spelled.partition(":")[0] == library:
        return spelled
    raise SettingsError(
        f"encode.{modality}_encoder is {spelled!r}; expected {', '.join(plain)}, or {library}:NAME_OR_FOLDER"
    )


def model_name(spelled: str) -> str:
    """The part after the library's name; empty without one.

    >>> model_name("open_clip:local-dir:models/mine"), model_name("open_clip")
    ('local-dir:models/mine', '')
    """
    return spelled.partition(":")[2]


def encoder_inputs(modality: str, settings: EncodeSettings) -> Mapping[str, object]:
    """Inputs of the encoder's stage beside the data. A local model counts by the contents of its folder."""
    spelled = encoder_setting(modality, settings)
    if spelled in (BUILTIN, PrecomputedEncoder.kind):
        return {"text_dim": settings.text_dim}
    if spelled == LEARNED:
        return {"encoder": spelled, "epochs": settings.learned_epochs, "dim": settings.learned_dim}
    folder = Path(model_name(spelled).removeprefix("local-dir:")).expanduser()
    is_local = bool(model_name(spelled)) and folder.is_dir()
    # The same model in another folder is the same model.
    return {"encoder": digests_of(folder) if is_local else spelled}
