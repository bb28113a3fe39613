"""Item ids, feature sets and canonical tokens of all items, as immutable versions. Start at `build_catalogue`.

An item keeps its row for the life of a bundle: new items are appended, and a retired item keeps its row, feature set
and tokens because histories still contain it. An item that no training has used can get another feature set.
"""

import dataclasses
import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64

from clairo_core.errors import CatalogueError, DuplicateItemError, UnknownItemError
from clairo_core.feature_index import FeatureIndex, SpelledCategories, keys_of
from clairo_core.storage.array_file import load_arrays, save_arrays
from clairo_core.storage.growing_rows import GrowingRows
from clairo_core.storage.replaced_file import replace_text
from clairo_core.storage.row_index import RowIndex
from clairo_core.tokens.spelling import Language
from clairo_core.tokens.tokenizer import TokenBatch, Tokenizer
from clairo_core.tokens.vocabulary import PAD, Vocabulary

CATALOGUE_SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Catalogue:
    """One version of the catalogue. Every change returns a new one."""

    version: int
    item_ids: tuple[str, ...]
    feature_sets: Int32[np.ndarray, "item category"]
    feature_tokens: Int32[np.ndarray, "item category"]
    """The feature sets as unmerged tokens: histories are encoded from these."""
    canonical: TokenBatch
    """Each item's own tokens in the vocabulary's first language, merged, without EOS; the width is that of its places.
    See `canonical_in`."""
    is_retired: Bool[np.ndarray, "item"]
    _columns: Sequence[GrowingRows]
    """Feature sets, feature tokens, canonical tokens and their lengths; the next version extends them."""
    _row_of_item_id: RowIndex[str]
    _row_of_feature_set: FeatureIndex

    def __len__(self) -> int:
        """Rows, those of retired items included."""
        return len(self.item_ids)

    def __contains__(self, item_id: object) -> bool:
        """Whether the item can be recommended: it is known and not retired."""
        row = self.find_row(item_id) if isinstance(item_id, str) else None
        return row is not None and not self.is_retired[row]

    @property
    def num_live(self) -> int:
        """Items that can be recommended."""
        return len(self) - int(np.count_nonzero(self.is_retired))

    @property
    def taken(self) -> Container[tuple[int, ...]]:
        """Feature sets that no further item may have, those of retired items included."""
        return self._row_of_feature_set

    def canonical_in(self, language: Language, tokenizer: Tokenizer) -> TokenBatch:
        """Each item's own tokens in one of the vocabulary's languages."""
        if language == tokenizer.vocabulary.languages[0]:
            return self.canonical
        return tokenizer.canonical_item_tokens(self.feature_tokens, language)

    def has_items_of(self, other: "Catalogue") -> bool:
        """Whether the versions differ in the content of items alone: ids, tokens and retirements are the same."""
        return self.feature_sets is other.feature_sets and self.is_retired is other.is_retired

    def find_row(self, item_id: str) -> int | None:
        """The row of an item, retired or not; None if it is unknown."""
        return self._row_of_item_id.get(item_id)

    def known_rows(self, item_ids: Iterable[str]) -> Int64[np.ndarray, "known"]:
        """The rows of the known items among these, retired ones included, in their order."""
        rows = map(self.find_row, item_ids)
        return np.array([row for row in rows if row is not None], dtype=np.int64)

    def row_of(self, item_id: str) -> int:
        """The row of an item, retired or not.

        Raises:
            UnknownItemError: no item has this id.
        """
        row = self.find_row(item_id)
        if row is None:
            raise UnknownItemError(
                f"item {item_id!r} is not in version {self.version} of the catalogue; add the item first"
            )
        return row

    def with_item(self, item_id: str, feature_set: Sequence[int], tokenizer: Tokenizer) -> "Catalogue":
        """The next version with one more item, in the last row; see `with_items`."""
        return self.with_items([item_id], [feature_set], tokenizer)

    def with_items(
        self, item_ids: Sequence[str], feature_sets: Sequence[Sequence[int]], tokenizer: Tokenizer
    ) -> "Catalogue":
        """The version after adding these items, in the last rows, in this order.

        Raises:
            DuplicateItemError: an id or a feature set is in use, by a retired item or by another new one too.
            FeatureSetError: a feature is not in the vocabulary.
        """
        num_categories = self.feature_sets.shape[1]
        num_added = len(feature_sets)
        added = np.asarray(feature_sets, dtype=np.int32).reshape(num_added, -1 if num_added else num_categories)
        feature_tokens = tokenizer.vocabulary.feature_tokens(added)
        for item_id, feature_set in zip(item_ids, feature_sets, strict=True):
            self.check_free(item_id, feature_set)
        check_keys_distinct("id", item_ids, item_ids)
        check_feature_sets_distinct(added, self._row_of_feature_set.spelled, item_ids)
        canonical = padded_tokens(tokenizer.canonical_item_tokens(feature_tokens), self.canonical.ids.shape[1])
        rows = [added, feature_tokens, canonical.ids, canonical.lengths]
        columns = [column.with_rows(more) for column, more in zip(self._columns, rows, strict=True)]
        return of_columns(
            self.version + num_added,
            # Not (*a, *b), which builds a list of all ids first.
            self.item_ids + tuple(item_ids),
            columns,
            np.append(self.is_retired, np.zeros(num_added, dtype=np.bool_)),
            self._row_of_item_id.with_keys(item_ids),
            self._row_of_feature_set.with_rows(added),
        )

    def without_item(self, item_id: str) -> "Catalogue":
        """The next version, with the item retired: never recommended, still read in histories.

        Raises:
            UnknownItemError: no item has this id.
        """
        row = self.row_of(item_id)
        is_retired = self.is_retired.copy()
        is_retired[row] = True
        return dataclasses.replace(self, version=self.version + 1, is_retired=is_retired)

    def with_item_restored(self, item_id: str) -> "Catalogue":
        """The next version, with a retired item recommendable again.

        Raises:
            UnknownItemError: no item has this id.
        """
        row = self.row_of(item_id)
        is_retired = self.is_retired.copy()
        is_retired[row] = False
        return dataclasses.replace(self, version=self.version + 1, is_retired=is_retired)

    def with_feature_sets(
        self, rows: Sequence[int], feature_sets: Sequence[Sequence[int]], tokenizer: Tokenizer
    ) -> "Catalogue":
        """This version with other feature sets and tokens in distinct rows. Their own old ones become free.

        Raises:
            DuplicateItemError: a feature set is in use by another item, or given twice.
            FeatureSetError: a feature is not in the vocabulary.
        """
        places = np.asarray(rows, dtype=np.int64)
        described = np.asarray(feature_sets, dtype=np.int32).reshape(len(places), self.feature_sets.shape[1])
        feature_tokens = tokenizer.vocabulary.feature_tokens(described)
        canonical = padded_tokens(tokenizer.canonical_item_tokens(feature_tokens), self.canonical.ids.shape[1])
        item_ids = [self.item_ids[row] for row in places]
        check_feature_sets_distinct(described, self._row_of_feature_set.spelled, item_ids)
        old = self.feature_sets[places]
        alike = self._row_of_feature_set.first_row_like_another(old, described)
        if alike is not None:
            place, other = alike
            raise DuplicateItemError(
                f"item {item_ids[place]!r} would get the feature set of item {self.item_ids[other]!r}; "
                "choose the nearest free one"
            )
        values = [described, feature_tokens, canonical.ids, canonical.lengths]
        return of_columns(
            self.version,
            self.item_ids,
            [column.with_replaced(places, more) for column, more in zip(self._columns, values, strict=True)],
            self.is_retired,
            self._row_of_item_id,
            self._row_of_feature_set.with_replaced(old, described),
        )

    def with_changed_content(self, num_changes: int = 1) -> "Catalogue":
        """A version `num_changes` later: the content of items changed."""
        return dataclasses.replace(self, version=self.version + num_changes)

    def check_free(self, item_id: str, feature_set: Sequence[int]) -> None:
        """Check that an item with this id and feature set can be added.

        Raises:
            DuplicateItemError: one of them is in use.
        """
        row = self.find_row(item_id)
        if row is not None:
            state = "was retired from" if self.is_retired[row] else "is in"
            raise DuplicateItemError(f"item {item_id!r} {state} the catalogue; choose another id")
        other = self._row_of_feature_set.row_like(feature_set)
        if other is not None:
            raise DuplicateItemError(
                f"item {item_id!r} has the feature set {tuple(feature_set)} of item {self.item_ids[other]!r}; "
                "choose the nearest free one"
            )

    def save(self, folder: Path) -> None:
        """Write item_ids.json and catalogue.npz into `folder`, which must exist."""
        save_arrays(
            folder / "catalogue.npz",
            feature_sets=self.feature_sets,
            feature_tokens=self.feature_tokens,
            canonical_ids=self.canonical.ids,
            canonical_lengths=self.canonical.lengths,
            is_retired=self.is_retired,
        )
        header = {"schema_version": CATALOGUE_SCHEMA, "version": self.version, "item_ids": self.item_ids}
        replace_text(folder / "item_ids.json", json.dumps(header))


def build_catalogue(
    item_ids: Sequence[str], feature_sets: Int[np.ndarray, "item category"], tokenizer: Tokenizer
) -> Catalogue:
    """Build version 1: item `item_ids[row]` has `feature_sets[row]`.

    Raises:
        CatalogueError: the lengths differ.
        DuplicateItemError: two rows have the same id or the same feature set.
        FeatureSetError: a feature is not in the vocabulary.
    """
    if len(item_ids) != len(feature_sets):
        raise CatalogueError(f"{len(item_ids)} item ids and {len(feature_sets)} feature sets; give one per item")
    feature_sets = np.ascontiguousarray(feature_sets, dtype=np.int32)
    vocabulary = tokenizer.vocabulary
    feature_tokens = vocabulary.feature_tokens(feature_sets)
    canonical = padded_tokens(tokenizer.canonical_item_tokens(feature_tokens), len(vocabulary.languages[0].places))
    return assembled(
        1,
        item_ids,
        [GrowingRows(rows) for rows in (feature_sets, feature_tokens, canonical.ids, canonical.lengths)],
        np.zeros(len(item_ids), dtype=np.bool_),
        vocabulary.spelled_categories,
    )


def load_catalogue(folder: Path, vocabulary: Vocabulary) -> Catalogue:
    """Load a saved catalogue, whose tokens are the vocabulary's.

    Raises:
        CatalogueError: a file is missing, damaged, or of another schema.
    """
    try:
        header = json.loads((folder / "item_ids.json").read_text(encoding="utf-8"))
        if header["schema_version"] != CATALOGUE_SCHEMA:
            raise CatalogueError(
                f"{folder}: catalogue schema {header['schema_version']}, expected {CATALOGUE_SCHEMA}; "
                "use the release of CLAIRO that wrote it"
            )
        feature_sets, feature_tokens, canonical_ids, canonical_lengths, is_retired = load_arrays(
            folder / "catalogue.npz",
            "feature_sets",
            "feature_tokens",
            "canonical_ids",
            "canonical_lengths",
            "is_retired",
        )
        columns = (feature_sets, feature_tokens, canonical_ids, canonical_lengths)
        return assembled(
            int(header["version"]),
            header["item_ids"],
            [GrowingRows.without_copy(rows) for rows in columns],
            is_retired,
            vocabulary.spelled_categories,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogueError(f"{folder}: cannot be read ({error}); copy the bundle again") from error


def assembled(
    version: int,
    item_ids: Sequence[str],
    columns: Sequence[GrowingRows],
    is_retired: Bool[np.ndarray, "item"],
    spelled: SpelledCategories,
) -> Catalogue:
    """Assemble and index a catalogue of the columns of `Catalogue`, after checking that no two rows are alike in any
    language.

    Raises:
        DuplicateItemError: two rows have the same id or the same feature set.
    """
    feature_sets = columns[0].rows
    rows_by_id = RowIndex(item_ids)
    each = [RowIndex(keys_of(feature_sets, categories)) for categories in spelled]
    rows_by_features = FeatureIndex(spelled, tuple(each))
    if len(rows_by_id) < len(item_ids):
        check_keys_distinct("id", item_ids, item_ids)
    if min(map(len, each)) < len(item_ids):
        check_feature_sets_distinct(feature_sets, spelled, item_ids)
    return of_columns(version, tuple(item_ids), columns, is_retired, rows_by_id, rows_by_features)


def of_columns(
    version: int,
    item_ids: tuple[str, ...],
    columns: Sequence[GrowingRows],
    is_retired: Bool[np.ndarray, "item"],
    rows_by_id: RowIndex[str],
    rows_by_features: FeatureIndex,
) -> Catalogue:
    """Make a catalogue whose arrays are the rows of these columns."""
    feature_sets, feature_tokens, canonical_ids, canonical_lengths = (column.rows for column in columns)
    canonical = TokenBatch(canonical_ids, canonical_lengths)
    return Catalogue(
        version,
        item_ids,
        feature_sets,
        feature_tokens,
        canonical,
        is_retired,
        columns,
        rows_by_id,
        rows_by_features,
    )


def check_keys_distinct(kind: str, keys: Sequence[str] | Sequence[bytes], item_ids: Sequence[str]) -> None:
    """Check that no two items have the same key.

    Raises:
        DuplicateItemError: two have; the message names the first.
    """
    if len(set(keys)) == len(keys):
        return
    _, first, count = np.unique(np.asarray(keys), return_index=True, return_counts=True)
    repeated = int(first[count > 1].min())
    raise DuplicateItemError(
        f"item {item_ids[repeated]!r} in row {repeated} and a later row have the same {kind}; keep only one"
    )


def check_feature_sets_distinct(
    feature_sets: Int32[np.ndarray, "item category"], spelled: SpelledCategories, item_ids: Sequence[str]
) -> None:
    """Check that no two items are alike in any language.

    Raises:
        DuplicateItemError: two are; the message names the first.
    """
    for categories in spelled:
        check_keys_distinct("feature set", keys_of(feature_sets, categories), item_ids)


def padded_tokens(batch: TokenBatch, width: int) -> TokenBatch:
    """The same sequences in a matrix of `width` columns, filled with PAD."""
    ids = np.full((len(batch.ids), width), PAD, dtype=np.int32)
    ids[:, : batch.ids.shape[1]] = batch.ids[:, :width]
    return TokenBatch(ids, batch.lengths)
