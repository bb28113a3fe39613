"""Read and write GRID's `merged_predictions_tensor.pt`: a tensor of whole numbers, levels by items.

GRID reads it as `semantic_id_path`, and takes an item's number as its column. Beside our file, `NAME.items.json` lists
the item ids in the order of the columns. PyTorch's format is a pickle: only plain tensors are read from it.
"""

import json
import pickle
from pathlib import Path

import numpy as np
import torch

from clairo_core.errors import DatasetError
from clairo_core.storage.replaced_file import replace_text, replaced_file
from training.ids.item_ids import ItemIds, Origin, numbers_alike, published_ids


def read_grid_tensor(path: Path, codebook_size: int) -> ItemIds:
    """Read a tensor; without NAME.items.json, item ids are the numbers of the columns.

    GRID's last level numbers the items that share all others: it becomes the collision index.

    Raises:
        DatasetError: the file is not a tensor of whole numbers from 0, levels by items, or the list of items does not
            fit it.
    """
    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError) as error:
        # PyTorch's text runs over many lines and suggests to load the file without this check.
        raise DatasetError(
            f"{path}: expected a plain tensor saved by PyTorch, and undamaged; export it again"
        ) from error
    if not isinstance(tensor, torch.Tensor) or tensor.ndim != 2 or 0 in tensor.shape:
        raise DatasetError(f"{path}: expected one tensor, levels by items; name GRID's merged_predictions_tensor.pt")
    whole = tensor.T.to(torch.int64).numpy()
    if not bool((tensor == tensor.to(torch.int64)).all()) or whole.min() < 0 or whole.max() > np.iinfo(np.int32).max:
        raise DatasetError(f"{path}: got codes that are not whole numbers from 0; name the tensor of semantic ids")
    items_file = items_beside(path)
    item_ids = tuple(str(number) for number in range(len(whole)))
    if items_file.is_file():
        item_ids = _listed_items(items_file, len(whole))
    return published_ids(item_ids, whole, codebook_size, Origin(path.name), is_numbered=numbers_alike(whole))


def write_grid_tensor(ids: ItemIds, path: Path) -> None:
    """Write the tensor, and the items' ids beside it. Ids that are the numbers from 0 on decide the columns."""
    numbered = {str(number): number for number in range(len(ids.item_ids))}
    columns = [numbered.get(item_id, -1) for item_id in ids.item_ids]
    order = np.argsort(columns) if min(columns) >= 0 else np.arange(len(columns))
    with replaced_file(path) as aside:
        torch.save(torch.from_numpy(ids.whole[order].T.astype(np.int64)).contiguous(), aside)
    replace_text(items_beside(path), json.dumps([ids.item_ids[row] for row in order]))


def items_beside(path: Path) -> Path:
    """The list of items of a tensor's file."""
    return path.with_suffix(".items.json")


def _listed_items(path: Path, num_items: int) -> tuple[str, ...]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: expected a JSON list of item ids ({error}); correct or remove it") from error
    is_list = isinstance(listed, list) and all(isinstance(item_id, str) for item_id in listed)
    if not is_list or len(listed) != num_items:
        raise DatasetError(f"{path}: expected a list of {num_items} item ids, as the tensor has; correct or remove it")
    return tuple(listed)
