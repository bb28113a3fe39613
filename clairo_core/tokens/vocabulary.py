"""The vocabulary: features, and the merge rules that build larger tokens from smaller ones. Immutable.

    0          PAD, an empty place
    1          EOS, the end of a sequence
    2 ...      one token per feature, ordered by (category, value), used by an item or not
    then       one token per marker of the spelling
    then       one token per merge rule, in the order of learning

`training.vocabulary.learn_vocabulary` learns the rules, `tokenizer` applies them.

Source: Hou et al. 2025, "ActionPiece: Contextually Tokenizing Action Sequences for Generative Recommendation". We
differ: counts are exact integers, and every code of every codebook is in from the start, so a posted item always has
tokens.
"""

import functools
import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32, Int64

from clairo_core.errors import FeatureSetError, VocabularyError, VocabularyFileError, VocabularySizeError
from clairo_core.storage.replaced_file import replace_text, replaced_file
from clairo_core.tokens.kernels.pair_kernels import MAX_TOKENS
from clairo_core.tokens.spelling import Language, Spelling, spelled_languages, spelled_markers

PAD = 0
EOS = 1
FIRST_FEATURE_TOKEN = 2

SCHEMA_VERSION = 2
_SHUFFLED_SCHEMA = 1
"""Vocabularies without a spelling of their own: earlier releases read them too."""
HEADER_FILE = "vocabulary.json"
MERGES_FILE = "merges.npz"

MAX_SCALED_COUNT = 2**55
"""Larger counts could overflow where the tokenizer compares weights exactly."""

Feature = tuple[int, int]
"""(category, value)"""


@dataclass(frozen=True, slots=True)
class MergeRule:
    """Two tokens, inside one set or in neighbouring sets, that merge into one."""

    left: int
    right: int
    """Never less than `left`."""
    token: int
    scaled_count: int
    """Weighted count at learning, times the vocabulary's weight scale."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """All tokens. The arrays hold one entry per rule; rule i makes token `first_merge_token + i`."""

    category_names: tuple[str, ...]
    category_sizes: tuple[int, ...]
    left: Int32[np.ndarray, "rule"]
    right: Int32[np.ndarray, "rule"]
    scaled_counts: Int64[np.ndarray, "rule"]
    expanded_at: tuple[int, ...] = ()
    """First token of each expansion; its rules are tried only where no older rule applies."""
    spelling: Spelling = Spelling.SHUFFLED

    def __post_init__(self) -> None:
        """Check that categories, rules and counts belong together.

        Raises:
            VocabularyError: they do not.
        """
        if len(self.category_names) != len(self.category_sizes) or not self.category_sizes:
            raise VocabularyError(
                f"got {len(self.category_names)} category names and {len(self.category_sizes)} sizes; "
                "give one name and one size per category, and at least one category"
            )
        if min(self.category_sizes) < 1:
            raise VocabularyError(f"category sizes are {self.category_sizes}; give every category at least one value")
        if not len(self.left) == len(self.right) == len(self.scaled_counts):
            raise VocabularyError(
                f"got {len(self.left)} left and {len(self.right)} right tokens and {len(self.scaled_counts)} counts; "
                "give one of each per rule"
            )
        if len(self.left) and self.spelling is not Spelling.SHUFFLED:
            raise VocabularyError(
                f"{len(self.left)} merge rules with spelling {self.spelling}; merge none, or shuffle features"
            )
        check_size(self.size, self.first_merge_token)
        made = np.arange(self.first_merge_token, self.size)
        wrong = (self.left < FIRST_FEATURE_TOKEN) | (self.left > self.right) | (self.right >= made)
        if wrong.any():
            rule = int(wrong.argmax())
            raise VocabularyError(
                f"rule {rule} makes token {made[rule]} from {self.left[rule]} and {self.right[rule]}; "
                f"use older tokens from {FIRST_FEATURE_TOKEN} up, the smaller one first"
            )
        if len(self.left) and not 0 < self.scaled_counts.min() <= self.scaled_counts.max() <= MAX_SCALED_COUNT:
            raise VocabularyError(
                f"scaled counts are {self.scaled_counts.min()} to {self.scaled_counts.max()}, expected 1 to 2^55; "
                "count fewer sequences"
            )
        pairs = np.stack([self.left, self.right], axis=1)
        if len(np.unique(pairs, axis=0)) < len(pairs):
            raise VocabularyError("two rules merge the same pair; give each pair one rule")
        limits = [self.first_merge_token, *self.expanded_at, self.size]
        if limits != sorted(limits):
            raise VocabularyError(
                f"expansions start at tokens {self.expanded_at}, expected ascending merge tokens below {self.size}; "
                "expand one vocabulary after another"
            )
        for array in (self.left, self.right, self.scaled_counts):
            array.setflags(write=False)

    @property
    def num_features(self) -> int:
        """Number of features over all categories."""
        return sum(self.category_sizes)

    @property
    def features_end(self) -> int:
        """The token behind the last feature: the first marker's, if there is one."""
        return FIRST_FEATURE_TOKEN + self.num_features

    @property
    def first_merge_token(self) -> int:
        """The token of the first rule; smaller tokens are PAD, EOS, features and markers."""
        return self.features_end + len(self.markers)

    @functools.cached_property
    def languages(self) -> tuple[Language, ...]:
        """Ways to spell an item; the first one is shown, and read by a single view."""
        return spelled_languages(self.spelling, self.category_names)

    @property
    def spelled_categories(self) -> tuple[tuple[int, ...], ...]:
        """For each language, the categories that tell all items apart."""
        return tuple(language.categories for language in self.languages)

    @functools.cached_property
    def markers(self) -> tuple[str, ...]:
        """Names of the tokens that stand for no feature, in the order of their tokens."""
        return spelled_markers(self.spelling, self.category_names)

    @property
    def size(self) -> int:
        """Number of tokens, PAD and EOS included: the generator's embedding rows."""
        return self.first_merge_token + len(self.left)

    @property
    def weight_scale(self) -> int:
        """The value of a count of 1 in `scaled_counts`."""
        return weight_scale(len(self.category_sizes))

    @functools.cached_property
    def category_offsets(self) -> Int32[np.ndarray, "category"]:
        """Token of each category's value 0."""
        sizes = np.array((FIRST_FEATURE_TOKEN, *self.category_sizes[:-1]))
        return np.cumsum(sizes).astype(np.int32)

    def marker_token(self, marker: str) -> int:
        """The token of a marker."""
        return self.features_end + self.markers.index(marker)

    def spelled(
        self, feature_tokens: Int32[np.ndarray, "item category"], language: Language
    ) -> Int32[np.ndarray, "item place"]:
        """Arrange each item's feature tokens as the language spells them, markers included."""
        if language.places == tuple(range(len(self.category_sizes))):
            return feature_tokens
        table = np.empty((len(feature_tokens), len(language.places)), dtype=np.int32)
        for column, place in enumerate(language.places):
            table[:, column] = self.marker_token(place) if isinstance(place, str) else feature_tokens[:, place]
        return table

    def rule_of(self, token: int) -> MergeRule:
        """The rule that makes a token.

        Raises:
            VocabularyError: no rule makes it: it is PAD, EOS, a feature, a marker, or not a token.
        """
        rule = token - self.first_merge_token
        if not 0 <= rule < len(self.left):
            raise VocabularyError(
                f"token {token} is not made by a rule, expected {self.first_merge_token} to {self.size - 1}; "
                "use the vocabulary that the token came from"
            )
        return MergeRule(int(self.left[rule]), int(self.right[rule]), token, int(self.scaled_counts[rule]))

    def rules(self) -> Iterator[MergeRule]:
        """All rules, in the order of learning."""
        return map(self.rule_of, range(self.first_merge_token, self.size))

    def features_of(self, token: int) -> tuple[Feature, ...]:
        """The features of a token, left part before right part; none for PAD, EOS and markers.

        Raises:
            VocabularyError: the token is outside the vocabulary.
        """
        if not 0 <= token < self.size:
            raise VocabularyError(
                f"token {token} is unknown, expected 0 to {self.size - 1}; use the vocabulary that the token came from"
            )
        features: list[Feature] = []
        waiting = [token]
        while waiting:
            part = waiting.pop()
            if part >= self.first_merge_token:
                rule = self.rule_of(part)
                waiting += [rule.right, rule.left]
            elif FIRST_FEATURE_TOKEN <= part < self.features_end:
                category = int(np.searchsorted(self.category_offsets, part, side="right")) - 1
                features.append((category, part - int(self.category_offsets[category])))
        return tuple(features)

    @functools.cached_property
    def feature_counts(self) -> Int32[np.ndarray, "token"]:
        """Number of features per token; 0 for PAD, EOS and markers."""
        counts = [0] * FIRST_FEATURE_TOKEN + [1] * self.num_features + [0] * len(self.markers)
        for left, right in zip(self.left.tolist(), self.right.tolist(), strict=True):
            counts.append(counts[left] + counts[right])
        return np.array(counts, dtype=np.int32)

    def feature_tokens(
        self, feature_sets: Int[np.ndarray, "item category"] | Sequence[Sequence[int]]
    ) -> Int32[np.ndarray, "item category"]:
        """Map each feature to its token.

        Raises:
            FeatureSetError: ragged sets, another number of categories, or a value outside its category.
        """
        values = checked_feature_sets(feature_sets, self.category_names, self.category_sizes)
        tokens: Int32[np.ndarray, "item category"] = (values + self.category_offsets).astype(np.int32)
        return tokens

    def save(self, folder: Path) -> None:
        """Write vocabulary.json and merges.npz into `folder`, created if missing.

        Raises:
            OSError: the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        arrays = io.BytesIO()
        np.savez(arrays, left=self.left, right=self.right, scaled_counts=self.scaled_counts)
        is_shuffled = self.spelling is Spelling.SHUFFLED
        header: dict[str, object] = {
            "schema_version": _SHUFFLED_SCHEMA if is_shuffled else SCHEMA_VERSION,
            "category_names": list(self.category_names),
            "category_sizes": list(self.category_sizes),
            "expanded_at": list(self.expanded_at),
            "num_rules": len(self.left),
            **({} if is_shuffled else {"spelling": self.spelling.value}),
        }
        header["sha256"] = _file_digest(header, arrays.getvalue())
        # The header is written last: a matching digest proves that both files are whole.
        with replaced_file(folder / MERGES_FILE) as aside:
            aside.write_bytes(arrays.getvalue())
        replace_text(folder / HEADER_FILE, json.dumps(header, indent=1))


def load_vocabulary(folder: Path) -> Vocabulary:
    """Load a saved vocabulary.

    Raises:
        VocabularyFileError: a file is missing, damaged, truncated, or of a newer schema.
    """
    try:
        header = json.loads((folder / HEADER_FILE).read_bytes())
        merges = (folder / MERGES_FILE).read_bytes()
    except OSError as error:
        raise VocabularyFileError(
            f"{folder} does not hold a whole vocabulary ({error}); copy the folder again"
        ) from error
    except ValueError as error:
        raise VocabularyFileError(f"{folder / HEADER_FILE} is not JSON ({error}); copy the folder again") from error
    version = header.get("schema_version") if isinstance(header, dict) else None
    if not isinstance(version, int) or version < 1:
        raise VocabularyFileError(f"{folder / HEADER_FILE} has no schema version; copy the folder again")
    if version > SCHEMA_VERSION:
        raise VocabularyFileError(
            f"{folder / HEADER_FILE} has schema version {version}, this CLAIRO reads up to {SCHEMA_VERSION}; "
            "update CLAIRO, or learn the vocabulary again"
        )
    expected, found = header.pop("sha256", None), _file_digest(header, merges)
    if expected != found:
        raise VocabularyFileError(
            f"{folder}: sha256 of header and merges is {found}, expected {expected}; copy the folder again"
        )
    with np.load(io.BytesIO(merges), allow_pickle=False) as arrays:
        return Vocabulary(
            category_names=tuple(header["category_names"]),
            category_sizes=tuple(header["category_sizes"]),
            left=arrays["left"],
            right=arrays["right"],
            scaled_counts=arrays["scaled_counts"],
            expanded_at=tuple(header["expanded_at"]),
            spelling=Spelling(header.get("spelling", Spelling.SHUFFLED)),
        )


def vocabulary_of_features(
    category_names: Sequence[str], category_sizes: Sequence[int], spelling: Spelling = Spelling.SHUFFLED
) -> Vocabulary:
    """A vocabulary without merge rules.

    Raises:
        VocabularyError: inconsistent categories, or some that cannot be spelled like this.
    """
    return Vocabulary(
        category_names=tuple(category_names),
        category_sizes=tuple(category_sizes),
        left=np.empty(0, dtype=np.int32),
        right=np.empty(0, dtype=np.int32),
        scaled_counts=np.empty(0, dtype=np.int64),
        spelling=spelling,
    )


def _file_digest(header: Mapping[str, object], merges: bytes) -> str:
    """Digest of the header's fields and the array file together: a change in either is detected."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode() + merges).hexdigest()


def weight_scale(num_categories: int) -> int:
    """Scale that makes all pair weights whole: 2/m in a set of m, 1/(m1*m2) across two sets.

    >>> weight_scale(5)
    3600
    """
    return math.lcm(*range(1, num_categories + 1)) ** 2


def check_size(size: int, least: int) -> None:
    """Check that a vocabulary of `size` tokens holds the `least` that come before merge rules, and can be indexed.

    Raises:
        VocabularySizeError: it does not, or cannot.
    """
    if not least <= size < MAX_TOKENS:
        raise VocabularySizeError(
            f"vocabulary size {size:,}, expected {least:,} to {MAX_TOKENS - 1:,}, with PAD, EOS and "
            f"{least - FIRST_FEATURE_TOKEN:,} features; choose a size of at least {least:,}"
        )


def checked_feature_sets(
    feature_sets: Int[np.ndarray, "item category"] | Sequence[Sequence[int]],
    category_names: Sequence[str],
    category_sizes: Sequence[int],
) -> Int[np.ndarray, "item category"]:
    """Convert feature sets to an array, after checking every value against its category.

    Raises:
        FeatureSetError: ragged sets, another number of categories, or a value outside its category.
    """
    num_categories = len(category_sizes)
    try:
        values = np.asarray(feature_sets)
    except ValueError as error:
        raise FeatureSetError(f"feature sets are ragged; give every item {num_categories} features") from error
    if values.size == 0:
        values = np.empty((0, num_categories), dtype=np.int32)
    if values.ndim != 2 or values.shape[1] != num_categories or not np.issubdtype(values.dtype, np.integer):
        raise FeatureSetError(
            f"feature sets are {values.dtype} of shape {values.shape}, expected integers of shape (items, "
            f"{num_categories}); give one feature for each category of {tuple(category_names)}"
        )
    wrong = (values < 0) | (values >= np.asarray(category_sizes))
    if wrong.any():
        item, category = (int(index[0]) for index in np.nonzero(wrong))
        raise FeatureSetError(
            f"item row {item} has feature {values[item, category]} in category {category_names[category]!r}, expected "
            f"0 to {category_sizes[category] - 1}; encode the item again with this vocabulary's quantizer"
        )
    return values
