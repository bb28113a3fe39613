"""The ids of a catalogue as codes, no two alike, and the Parquet file that keeps them. Start at `ItemIds`."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int, Int32, Int64

from clairo_core.errors import DatasetError, SettingsError
from clairo_core.features import COLLISION_CATEGORY, assign_collision_indices
from clairo_core.storage.replaced_file import replaced_file
from clairo_core.values.counted import counted
from clairo_core.values.ids import shown
from training.datasets.columns.number_columns import MAX_CODE

SUFFIX = ".parquet"
_METADATA = b"clairo_ids"
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Origin:
    """Where ids come from."""

    name: str
    """In words, such as "preset tiger, quantizer rqvae" or "beauty.index.json"."""
    reconstruction_error: float | None = None
    """Share of the item embeddings' variance that the codes lose; None without a quantizer."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemIds:
    """A semantic id per item, and a collision index where semantic ids alone are not unique.

    Raises:
        DatasetError: two items have the same id, an item occurs twice, or a codebook has the name of another column;
            the text names them.
    """

    item_ids: tuple[str, ...]
    semantic_ids: Int32[np.ndarray, "item codebook"]
    codebook_names: tuple[str, ...]
    """Columns of the codes in the file: code_0, code_1, ..., or those of the source."""
    codebook_sizes: tuple[int, ...]
    collision_indices: Int32[np.ndarray, "item"] | None
    """Distinguish the items that share a semantic id."""
    origin: Origin

    def __post_init__(self) -> None:
        """Check that items, ids and columns are unique."""
        columns = ("item_id", *self.codebook_names, COLLISION_CATEGORY)
        if len(set(columns)) < len(columns):
            raise DatasetError(
                f"{self.origin.name}: columns of codes are {', '.join(map(repr, self.codebook_names))}, expected "
                f"different names, and neither 'item_id' nor {COLLISION_CATEGORY!r}; rename them"
            )
        if len(set(self.item_ids)) < len(self.item_ids):
            twice = next(item_id for item_id, count in Counter(self.item_ids).items() if count > 1)
            raise DatasetError(f"{self.origin.name}: item {shown(twice)} has two ids, expected one; remove one")
        groups = groups_of(self.whole)
        sizes = np.bincount(groups)
        if len(sizes) < len(groups):
            same = np.flatnonzero(groups == sizes.argmax())
            raise DatasetError(
                f"{self.origin.name}: items {self.named(same)} have the same id {self.whole[same[0]].tolist()}, "
                "expected one id per item; remove the collision index, and import again to number them"
            )

    @property
    def whole(self) -> Int32[np.ndarray, "item column"]:
        """Codes, then the collision index if there is one: unique rows."""
        if self.collision_indices is None:
            return self.semantic_ids
        return np.column_stack([self.semantic_ids, self.collision_indices]).astype(np.int32)

    @property
    def sharing(self) -> Int64[np.ndarray, "sharing"]:
        """Rows of the items that share their semantic id with another, by semantic id."""
        groups = groups_of(self.semantic_ids)
        sharing = np.flatnonzero(np.bincount(groups, minlength=1)[groups] > 1)
        return sharing[np.argsort(groups[sharing], kind="stable")]

    def of_rows(self, rows: Int[np.ndarray, "row"]) -> "ItemIds":
        """The ids of some items, in that order; sizes stay."""
        return replace(
            self,
            item_ids=tuple(self.item_ids[row] for row in rows.tolist()),
            semantic_ids=self.semantic_ids[rows],
            collision_indices=None if self.collision_indices is None else self.collision_indices[rows],
        )

    def named(self, rows: Int[np.ndarray, "row"]) -> str:
        """The first few items of some rows, for messages."""
        names = ", ".join(shown(self.item_ids[row]) for row in rows[:_MOST_NAMED])
        return names if len(rows) <= _MOST_NAMED else f"{names} and {len(rows) - _MOST_NAMED:,} more"

    def in_words(self) -> str:
        """Numbers of items and codes, and which items share a semantic id."""
        num_codebooks = len(self.codebook_sizes)
        counts = f"{counted(len(self.item_ids), 'item')}, {counted(num_codebooks, 'code')} each"
        sharing = self.sharing
        if not len(sharing):
            return f"{counts}, no two semantic ids alike"
        num_groups = len(np.unique(self.semantic_ids[sharing], axis=0))
        return (
            f"{counts}; {len(sharing):,} items share {counted(num_groups, 'semantic id')} and differ in column "
            f"{COLLISION_CATEGORY!r} alone: {self.named(sharing)}"
        )

    def toml(self, path: Path) -> str:
        """The section of dataset.toml that trains on these ids."""
        columns = ", ".join(f'"{name}"' for name in self.codebook_names)
        unique = "" if len(self.sharing) else "\nunique = true"
        return f'[codes]\nfile = "{path.name}"\ncolumns = [{columns}]\nsizes = {list(self.codebook_sizes)}{unique}'

    def save(self, path: Path) -> None:
        """Write Parquet, one row per item: item_id, codes, and collision if there is a collision index.

        Raises:
            SettingsError: `path` does not end in .parquet.
        """
        check_parquet(path)
        columns: dict[str, object] = {"item_id": pa.array(self.item_ids, pa.string())}
        columns |= {name: self.semantic_ids[:, codebook] for codebook, name in enumerate(self.codebook_names)}
        if self.collision_indices is not None:
            columns[COLLISION_CATEGORY] = self.collision_indices
        metadata = {
            "codebook_names": self.codebook_names,
            "codebook_sizes": self.codebook_sizes,
            "origin": asdict(self.origin),
        }
        table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(metadata)})
        with replaced_file(path) as aside:
            pq.write_table(table, aside)


def load_ids(path: Path) -> ItemIds:
    """Read a file of `ItemIds.save`.

    Raises:
        DatasetError: the file is missing, damaged or of something else, or two items have the same id.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file; correct the path, or write it by clairo-train ids make")
    try:
        table = pq.read_table(path)
        metadata = json.loads((table.schema.metadata or {})[_METADATA])
        names, sizes = tuple(metadata["codebook_names"]), tuple(metadata["codebook_sizes"])
        codes = np.column_stack([table[name].to_numpy() for name in names]).astype(np.int32)
        collisions = table[COLLISION_CATEGORY].to_numpy() if COLLISION_CATEGORY in table.column_names else None
        item_ids = tuple(table["item_id"].to_pylist())
        origin = Origin(**metadata["origin"])
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        is_damaged = path.suffix == SUFFIX and isinstance(error, OSError | pa.ArrowException)
        cure = "it is damaged: make or import it again" if is_damaged else "import it first"
        raise DatasetError(
            f"{path}: expected a file of clairo-train ids make or ids import ({error}); {cure}"
        ) from error
    return ItemIds(item_ids, codes, names, sizes, collisions, origin)


def unique_ids(
    item_ids: tuple[str, ...],
    semantic_ids: Int[np.ndarray, "item codebook"],
    codebook_names: tuple[str, ...],
    codebook_sizes: tuple[int, ...],
    origin: Origin,
) -> ItemIds:
    """Ids with a collision index of 0, 1, 2, ... in row order, unless the semantic ids are unique.

    Raises:
        DatasetError: an item occurs twice.
    """
    numbers = assign_collision_indices(semantic_ids)
    collisions = numbers if numbers.any() else None
    return ItemIds(item_ids, semantic_ids.astype(np.int32), codebook_names, codebook_sizes, collisions, origin)


def published_ids(
    item_ids: tuple[str, ...],
    whole: Int[np.ndarray, "item column"],
    codebook_size: int,
    origin: Origin,
    *,
    names: tuple[str, ...] = (),
    is_numbered: bool,
) -> ItemIds:
    """Ids from a published matrix of codes.

    Args:
        item_ids: of the rows.
        whole: codes from 0.
        codebook_size: of every codebook; 0 takes the largest code of each column plus one.
        origin: for messages and reports.
        names: of the columns; code_0, code_1, ... by default.
        is_numbered: the last column is a collision index.

    Raises:
        DatasetError: two items have the same id, an item occurs twice, or a code is outside `codebook_size`.
    """
    names = names or default_names(whole.shape[1])
    if not is_numbered:
        return unique_ids(item_ids, whole, names, codebook_sizes_of(item_ids, whole, codebook_size, origin), origin)
    codes, collisions = whole[:, :-1].astype(np.int32), whole[:, -1].astype(np.int32)
    if codes.shape[1] == 0:
        raise DatasetError(f"{origin.name}: got one code each, expected one before the number; leave out --numbered")
    sizes = codebook_sizes_of(item_ids, codes, codebook_size, origin)
    return ItemIds(item_ids, codes, names[:-1], sizes, collisions, origin)


def default_names(num_codebooks: int) -> tuple[str, ...]:
    """Names of codebooks without any.

    >>> default_names(2)
    ('code_0', 'code_1')
    """
    return tuple(f"code_{codebook}" for codebook in range(num_codebooks))


def codebook_sizes_of(
    item_ids: tuple[str, ...], codes: Int[np.ndarray, "item codebook"], codebook_size: int, origin: Origin
) -> tuple[int, ...]:
    """`codebook_size` for every codebook; with 0, the largest code of each plus one.

    Raises:
        DatasetError: a code is outside `codebook_size`, or above `MAX_CODE`.
    """
    most = codebook_size or MAX_CODE + 1
    too_large = np.argwhere(codes >= most)
    if len(too_large):
        row, codebook = too_large[0]
        cure = "raise --codebook-size" if codebook_size else "correct it"
        raise DatasetError(
            f"{origin.name}: item {shown(item_ids[row])} has code {codes[row, codebook]} at level {codebook + 1}, "
            f"expected 0 to {most - 1}; {cure}"
        )
    return (codebook_size,) * len(codes[0]) if codebook_size else tuple((codes.max(axis=0) + 1).tolist())


def groups_of(rows: Int[np.ndarray, "item column"]) -> Int64[np.ndarray, "item"]:
    """A number per item, the same for equal rows; 0 for all without columns."""
    if rows.shape[1] == 0 or len(rows) == 0:
        return np.zeros(len(rows), np.int64)
    return np.asarray(np.unique(rows, axis=0, return_inverse=True)[1], dtype=np.int64).ravel()


def check_parquet(path: Path) -> None:
    """Refuse another ending.

    Raises:
        SettingsError: `path` does not end in .parquet.
    """
    if path.suffix != SUFFIX:
        raise SettingsError(f"--out {path}: got ending {path.suffix!r}, expected {SUFFIX}; rename it")


def numbers_alike(whole: Int[np.ndarray, "item column"]) -> bool:
    """Whether items that are alike in all columns but the last have 0, 1, 2, ... there, in any order.

    >>> numbers_alike(np.array([[5, 1], [5, 0], [7, 0]])), numbers_alike(np.array([[5, 1], [5, 0], [7, 1]]))
    (True, False)
    """
    groups, numbers = groups_of(whole[:, :-1]), whole[:, -1]
    sizes = np.bincount(groups)
    expected = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return whole.shape[1] > 1 and bool((numbers[np.lexsort((numbers, groups))] == expected).all())
