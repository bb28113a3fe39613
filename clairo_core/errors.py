"""Every error that CLAIRO raises on purpose. Each message states what, got, expected, and the next step.

ClairoError
├── SettingsError                 a flag, a --set key, a preset or an environment variable
├── DatasetError                  a table or the TOML that describes it: file, row and field
│   ├── DescriptionError          a key of the TOML
│   ├── MissingColumnError
│   ├── RowError
│   └── EmptyTableError
├── ContentError                  an item's picture or words
│   ├── UnreadablePictureError
│   └── ContentTooLargeError
├── EncoderError                  cannot be fitted, loaded or used
├── FusionError
├── QuantizerError
├── FeatureSetError               ragged, negative or unknown features
│   └── FeatureSpaceFullError     every collision index, or every feature set, is taken
├── VocabularyError
│   ├── VocabularySizeError
│   ├── VocabularyMemoryError     the arrays do not fit into vocabulary.max_mib
│   ├── EmptyCorpusError
│   └── VocabularyFileError       damaged, or of a newer schema
├── CatalogueError
│   ├── UnknownItemError
│   └── DuplicateItemError
├── GeneratorError
├── RankingError                  a ranker beside the generator
│   ├── DenseHeadError
│   ├── ItemWeightsError
│   └── MixtureError
├── TrainingError
└── BundleError
    ├── BundleNotFoundError
    ├── BundleDigestError         a file is missing, truncated or altered
    ├── BundleManifestError
    ├── BundleStorageError        object storage does not answer, or refuses
    └── NewerBundleError          written by a newer CLAIRO than this one
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class ClairoError(Exception):
    """Base of all errors below. Its message is written for the person who caused it."""


class SettingsError(ClairoError):
    """A setting is unknown, of the wrong type, or out of range."""


class DatasetError(ClairoError):
    """The tables, or the TOML that describes them, cannot be used."""


class DescriptionError(DatasetError):
    """A key of the TOML is missing, unknown or of a wrong value.

    Args:
        message: for people.
        section: the table that has, or should have, the key.
        key: its name.
    """

    def __init__(self, message: str, section: dict[str, Any], key: str) -> None:
        super().__init__(message)
        self.section = section
        self.key = key


class MissingColumnError(DatasetError):
    """A column of the dataset description is not in the file."""


class RowError(DatasetError):
    """Rows of a table cannot be used; the message names file, row and field of the first.

    Args:
        message: for people.
        path: the table's file or source; its text is its name.
        rows: numbers, as in the message, of all rows found with this fault; empty where the whole column has it.
        field: the column, or empty.
        problem: the message without file, row and field.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Any = None,
        rows: "Sequence[int] | np.ndarray" = (),
        field: str = "",
        problem: str = "",
    ) -> None:
        super().__init__(message)
        self.path = path
        self.rows = rows
        self.field = field
        self.problem = problem


class EmptyTableError(DatasetError):
    """A table has no rows, or none are left after filtering."""


class ContentError(ClairoError):
    """An item's picture or words cannot be used."""


class UnreadablePictureError(ContentError):
    """The bytes cannot be decoded as a JPEG, PNG or WebP picture."""


class ContentTooLargeError(ContentError):
    """A picture or text exceeds the limits."""


class EncoderError(ClairoError):
    """An encoder cannot be fitted, loaded or used."""


class FusionError(ClairoError):
    """Modality embeddings do not fit the fusion."""


class QuantizerError(ClairoError):
    """Item embeddings do not fit the quantizer, or it cannot be fitted."""


class FeatureSetError(ClairoError):
    """Features are ragged, negative, or unknown to the feature space."""


class FeatureSpaceFullError(FeatureSetError):
    """Every collision index of these codes, or every feature set, is taken."""


class VocabularyError(ClairoError):
    """A vocabulary cannot be learned, loaded or used."""


class VocabularySizeError(VocabularyError):
    """The requested size cannot hold all features and special tokens, or exceeds the limit."""


class VocabularyMemoryError(VocabularyError):
    """Learning a vocabulary takes more memory than it may."""

    def __init__(self, message: str, num_fitting: int) -> None:
        super().__init__(message)
        self.num_fitting = num_fitting
        """How many of the sequences to try next."""


class EmptyCorpusError(VocabularyError):
    """A corpus has no sequence to learn from."""


class VocabularyFileError(VocabularyError):
    """A vocabulary's file is damaged, or of a newer schema."""


class CatalogueError(ClairoError):
    """A catalogue cannot be built, loaded or changed."""


class UnknownItemError(CatalogueError):
    """The catalogue has no item with this id."""


class DuplicateItemError(CatalogueError):
    """The catalogue already has an item with this id or feature set."""


class GeneratorError(ClairoError):
    """A generator's checkpoint cannot be loaded or used."""


class RankingError(ClairoError):
    """A ranker beside the generator cannot be used."""


class DenseHeadError(RankingError):
    """A dense head is damaged, or belongs to another bundle."""


class ItemWeightsError(RankingError):
    """Item weights are damaged."""


class MixtureError(RankingError):
    """A mixture is damaged, not fitted, or of other components."""


class TrainingError(ClairoError):
    """Training cannot start or continue."""


class BundleError(ClairoError):
    """A bundle cannot be used."""


class BundleNotFoundError(BundleError):
    """The folder holds no bundle."""


class BundleDigestError(BundleError):
    """A file of the bundle is missing, truncated or altered."""


class BundleManifestError(BundleError):
    """The manifest is not JSON, or a field is missing or of the wrong type."""


class BundleStorageError(BundleError):
    """Object storage does not answer or refuses the call, or a copy of a bundle cannot be written."""


class NewerBundleError(BundleError):
    """A newer CLAIRO wrote the bundle."""


def missing_extra(command: str, extra: str, error: ModuleNotFoundError) -> str | None:
    """The sentence for a command without its packages; None if the missing module is our own.

    >>> missing_extra("clairo-serve", "serve", ModuleNotFoundError(name="fastapi"))
    "clairo-serve needs clairo[serve], but the package fastapi is missing; run pip install 'clairo[serve]'"
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", "clairo_client", "clairo_core", "service", "training"):
        return None
    return f"{command} needs clairo[{extra}], but the package {package} is missing; run pip install 'clairo[{extra}]'"
