"""Turn published ids into `ItemIds`: index JSON, GRID's tensor, or a table with columns of codes."""

from collections.abc import Callable
from pathlib import Path

from clairo_core.errors import DatasetError, SettingsError
from clairo_core.features import COLLISION_CATEGORY
from training.datasets.columns.code_column_names import expand_code_columns
from training.datasets.columns.number_columns import code_columns
from training.datasets.columns.value_columns import item_id_column
from training.datasets.tables.column_kinds import ColumnKind
from training.datasets.tables.table_files import column_names, read_table
from training.ids.grid_tensor import read_grid_tensor
from training.ids.index_json import read_index_json
from training.ids.item_ids import ItemIds, Origin, published_ids


def import_ids(
    path: Path,
    *,
    item_id: str,
    columns: tuple[str, ...],
    codebook_size: int,
    is_numbered: bool,
    report: Callable[[str], None],
) -> ItemIds:
    """Read ids by the file's ending: .json is an index JSON, .pt a tensor of GRID, all else a table.

    Args:
        path: of the file.
        item_id: column of a table.
        columns: of codes in a table, by name or by prefix (`letter` for letter_0, letter_1, ...).
        codebook_size: of every codebook; 0 takes the largest code of each plus one.
        is_numbered: the last code of a JSON or a table numbers the items that share all others. So does a column
            named "collision".
        report: says which last tokens of a JSON are taken as such numbers, or look like them.

    Raises:
        DatasetError: the file is missing, damaged, or has two ids for an item.
        SettingsError: a table without `columns` or without the column `item_id`, or `columns` for another file.
    """
    if columns and path.suffix in (".json", ".pt"):
        raise SettingsError(f"--columns is {','.join(columns)}, which only tables have; leave it out for {path.name}")
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file; correct the path")
    if path.suffix == ".json":
        return read_index_json(path, codebook_size, report, is_numbered=is_numbered)
    if path.suffix == ".pt":
        return read_grid_tensor(path, codebook_size)
    available = column_names(path)
    if not columns:
        raise SettingsError(
            f"{path}: name the columns of codes by --columns, in order; the columns are "
            f"{', '.join(map(repr, available))}"
        )
    if item_id not in available:
        raise SettingsError(
            f"{path}: --item-id is {item_id!r}, expected the column of item ids; choose among "
            f"{', '.join(map(repr, available))}"
        )
    wanted = expand_code_columns(path, available, columns)
    kinds: dict[str, ColumnKind] = {item_id: "id", **dict.fromkeys(wanted, "numbers")}
    source = read_table(path, kinds)
    codes, names = code_columns(source, wanted)
    item_ids, origin = tuple(item_id_column(source, item_id)), Origin(path.name)
    is_numbered = is_numbered or names[-1] == COLLISION_CATEGORY
    return published_ids(item_ids, codes, codebook_size, origin, names=names, is_numbered=is_numbered)
