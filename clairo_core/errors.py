"""Every error that CLAIRO raises on purpose; each says what, got, expected, and the next step.

ClairoError
├── SettingsError                 a flag, a --set key, a preset or an environment variable
├── DatasetError                  a table or the TOML that describes it: file, row and field
│   ├── MissingColumnError
│   ├── RowError
│   └── EmptyTableError
├── ItemFilterError               an attribute that no item has, or of another type
├── ContentError                  what an item is made of
│   ├── UnreadablePictureError
│   └── ContentTooLargeError
├── EncoderError
├── FusionError
├── QuantizerError
├── FeatureSetError               ragged, negative or unknown features
│   └── FeatureSpaceFullError     no free collision index is left
├── VocabularyError
│   ├── VocabularySizeError
│   ├── EmptyCorpusError
│   └── VocabularyFileError       damaged, or of a newer schema
├── CatalogueError
│   ├── UnknownItemError
│   └── DuplicateItemError
├── GeneratorError
├── RankingError                  what ranks beside the generator
│   ├── DenseHeadError
│   ├── ItemWeightsError
│   └── MixtureError
├── TrainingError
└── BundleError
    ├── BundleNotFoundError
    ├── BundleDigestError         a file is missing, truncated or altered
    ├── BundleManifestError
    └── NewerBundleError          written by a newer CLAIRO than this one
"""


class ClairoError(Exception):
    """Whatever CLAIRO raises on purpose; its text is fit for the person who caused it."""


class SettingsError(ClairoError):
    """A setting has no meaning: unknown name, wrong type, or out of range."""


class DatasetError(ClairoError):
    """The tables, or the TOML that describes them, are not what was promised."""


class MissingColumnError(DatasetError):
    """A column that the dataset description names is not in the file."""


class RowError(DatasetError):
    """One row of a table cannot be used; the text names file, row and field."""


class EmptyTableError(DatasetError):
    """A table has no rows, or none are left after filtering."""


class ItemFilterError(ClairoError):
    """A filter asks for an attribute that no item has, or compares one with what it cannot be; `path` says where."""

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path
        """From the outermost filter inwards: names of operators, and places in lists."""


class ContentError(ClairoError):
    """An item's picture or words cannot be used."""


class UnreadablePictureError(ContentError):
    """The bytes are no JPEG, PNG or WebP picture that can be decoded."""


class ContentTooLargeError(ContentError):
    """A picture or a text is beyond the limits."""


class EncoderError(ClairoError):
    """An encoder cannot be fitted, loaded or used."""


class FusionError(ClairoError):
    """Modality embeddings do not fit the fusion."""


class QuantizerError(ClairoError):
    """Item embeddings do not fit the quantizer, or it cannot be fitted."""


class FeatureSetError(ClairoError):
    """Features are ragged, negative, or unknown to the feature space."""


class FeatureSpaceFullError(FeatureSetError):
    """No free collision index is left for these codes."""


class VocabularyError(ClairoError):
    """A vocabulary cannot be learned, loaded or used."""


class VocabularySizeError(VocabularyError):
    """The size asked for is below the number of features and special tokens."""


class EmptyCorpusError(VocabularyError):
    """There is no sequence to learn from."""


class VocabularyFileError(VocabularyError):
    """The vocabulary's file is damaged, or of a newer schema."""


class CatalogueError(ClairoError):
    """The catalogue cannot do what was asked of it."""


class UnknownItemError(CatalogueError):
    """No item of this id is in the catalogue."""


class DuplicateItemError(CatalogueError):
    """An item of this id, or with this feature set, is in the catalogue already."""


class GeneratorError(ClairoError):
    """The generator's checkpoint cannot be loaded or used."""


class RankingError(ClairoError):
    """Something that ranks beside the generator cannot be used."""


class DenseHeadError(RankingError):
    """The dense head is damaged, or fits another bundle."""


class ItemWeightsError(RankingError):
    """Weights from item to item are damaged."""


class MixtureError(RankingError):
    """The weights of components are damaged, missing, or of other components."""


class TrainingError(ClairoError):
    """Training cannot start or go on."""


class BundleError(ClairoError):
    """A bundle cannot be used; the classes below say why."""


class BundleNotFoundError(BundleError):
    """There is no bundle at this place."""


class BundleDigestError(BundleError):
    """A file of the bundle is missing, truncated or altered."""


class BundleManifestError(BundleError):
    """The manifest is not JSON, or lacks what a manifest must say."""


class NewerBundleError(BundleError):
    """The bundle was written by a newer CLAIRO than this one."""
