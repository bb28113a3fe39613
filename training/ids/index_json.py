"""Read and write the index JSON of LC-Rec, LETTER and MiniOneRec: `{"0": ["<a_12>", "<b_7>"], ...}`.

Keys are item ids, and a token is its level's letter and its code. LC-Rec gives every item equally many tokens.
MiniOneRec's residual k-means gives items that share their tokens one more, a number. Codes may also be plain integers.
"""

import json
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from clairo_core.errors import DatasetError
from clairo_core.storage.replaced_file import replace_text
from clairo_core.values.counted import counted
from clairo_core.values.ids import shown
from training.datasets.columns.number_columns import MAX_CODE
from training.ids.item_ids import (
    ItemIds,
    Origin,
    codebook_sizes_of,
    default_names,
    groups_of,
    numbers_alike,
    published_ids,
)

_TOKEN = re.compile(r"<([A-Za-z])_(\d{1,7})>")


def read_index_json(
    path: Path, codebook_size: int, report: Callable[[str], None], *, is_numbered: bool = False
) -> ItemIds:
    """Read an index JSON.

    Tokens of a level have one letter. Items have equally many tokens, or some have one more, their number among the
    items that share the others.

    Args:
        path: of the file.
        codebook_size: as in `published_ids`.
        report: says which last tokens are taken as numbers, or look like them.
        is_numbered: every item's last token is its number among those that share the others.

    Raises:
        DatasetError: the file is not an index JSON, an item occurs twice, or two items have the same tokens, one more
            than others.
    """
    try:
        index = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_pairs_once)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: expected an index JSON ({error}); correct or export it again") from error
    if not isinstance(index, dict) or not index or not all(isinstance(tokens, list) for tokens in index.values()):
        raise DatasetError(f'{path}: expected an object like {{"0": ["<a_12>", "<b_7>"]}}; name an index JSON')
    letters: dict[int, str] = {}
    codes = [_codes_of(path, item_id, tokens, letters) for item_id, tokens in index.items()]
    lengths = np.array([len(of_item) for of_item in codes])
    fewest = int(lengths.min())
    if fewest == 0 or lengths.max() > fewest + 1:
        odd = list(index)[int(lengths.argmax() if fewest else lengths.argmin())]
        raise DatasetError(
            f"{path}: item {shown(odd)} has {len(index[odd])} tokens, others {fewest or lengths.max()}, expected as "
            "many, or one more to tell items apart; correct it"
        )
    item_ids, origin = tuple(index), Origin(path.name)
    matrix = np.array([of_item[:fewest] for of_item in codes], dtype=np.int64)
    if lengths.max() == fewest:
        if not is_numbered and numbers_alike(matrix):
            report(f"the last token of {path.name} looks like a number; --numbered takes it as one, not as a code")
        return published_ids(item_ids, matrix, codebook_size, origin, is_numbered=is_numbered)
    # As MiniOneRec numbers them: only where tokens are shared.
    numbers = np.array([of_item[fewest] if len(of_item) > fewest else 0 for of_item in codes], dtype=np.int32)
    sizes = codebook_sizes_of(item_ids, matrix, codebook_size, origin)
    ids = ItemIds(item_ids, matrix.astype(np.int32), default_names(fewest), sizes, numbers, origin)
    shorter = np.flatnonzero(lengths == fewest)
    report(
        f"the last token of {counted(len(lengths) - len(shorter), 'id')} is taken as a number among items that share "
        f"the others; {counted(len(shorter), 'id')} without it: {ids.named(shorter)}"
    )
    return ids


def write_index_json(ids: ItemIds, path: Path, *, numbers_shared_only: bool) -> None:
    """Write an index JSON.

    Args:
        ids: codes and, if there is one, the collision index as the last token.
        path: of the file.
        numbers_shared_only: items with a semantic id of their own lack the last token, as in MiniOneRec.

    Raises:
        DatasetError: there are more levels than letters.
    """
    num_columns = ids.whole.shape[1]
    if num_columns > len(string.ascii_lowercase):
        raise DatasetError(f"{path}: got {num_columns} codes per item, expected at most 26, one per letter; use fewer")
    tokens = [
        [f"<{letter}_{code}>" for letter, code in zip(string.ascii_lowercase, row, strict=False)]
        for row in ids.whole.tolist()
    ]
    if numbers_shared_only and ids.collision_indices is not None:
        groups = groups_of(ids.semantic_ids)
        is_shared = np.bincount(groups)[groups] > 1
        tokens = [row if shared else row[:-1] for row, shared in zip(tokens, is_shared.tolist(), strict=True)]
    replace_text(path, json.dumps(dict(zip(ids.item_ids, tokens, strict=True))))


def _pairs_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{shown(next(name for name in found if names.count(name) > 1))} occurs twice")
    return found


def _codes_of(path: Path, item_id: str, tokens: list[Any], letters: dict[int, str]) -> list[int]:
    codes = []
    for level, token in enumerate(tokens):
        if type(token) is int and 0 <= token <= MAX_CODE:
            codes.append(token)
            continue
        match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
        if match is None or letters.setdefault(level, match[1]) != match[1]:
            expected = f"<{letters[level]}_NUMBER>" if level in letters else "<a_NUMBER>"
            raise DatasetError(
                f"{path}: item {shown(item_id)}, token {level + 1}: got {token!r}, expected {expected}; correct it"
            )
        codes.append(int(match[2]))
    return codes
