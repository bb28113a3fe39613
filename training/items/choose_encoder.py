"""Make the encoder that the settings name: a built-in one, one of a library, or ready-made vectors.

Knows the settings' spelling; each encoder's own module knows the rest, and `fit_image_encoder` how one is learned.
Start at `make_encoder`.

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
    """An encoder for `modality`, but a learned one; what is fitted is fitted on the training items.

    Args:
        modality: "text", "image", or the name of precomputed vectors.
        training_items: whatever occurs in training.
        settings: which encoder.
        seed: of what is fitted.
        progress: reports fitting.

    Raises:
        SettingsError: the setting is no encoder's name.
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
    """How the settings spell the encoder of this modality.

    Raises:
        SettingsError: they spell none that we know.
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
    """What stands after the library's name; empty if nothing does.

    >>> model_name("open_clip:local-dir:models/mine"), model_name("open_clip")
    ('local-dir:models/mine', '')
    """
    return spelled.partition(":")[2]


def encoder_inputs(modality: str, settings: EncodeSettings) -> Mapping[str, object]:
    """What the encoder's stage depends on beside the data, the contents of a local folder included."""
    spelled = encoder_setting(modality, settings)
    if spelled in (BUILTIN, PrecomputedEncoder.kind):
        return {"text_dim": settings.text_dim}
    if spelled == LEARNED:
        return {"encoder": spelled, "epochs": settings.learned_epochs, "dim": settings.learned_dim}
    folder = Path(model_name(spelled).removeprefix("local-dir:")).expanduser()
    is_local = bool(model_name(spelled)) and folder.is_dir()
    # By content, not by place: the same model in another folder is the same model.
    return {"encoder": digests_of(folder) if is_local else spelled}
