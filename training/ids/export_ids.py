"""Write `ItemIds` in the layouts of other code. Start at `export_ids`."""

from pathlib import Path

from clairo_core.errors import SettingsError
from clairo_core.values.counted import counted
from training.ids.grid_tensor import write_grid_tensor
from training.ids.index_json import write_index_json
from training.ids.item_ids import ItemIds
from training.ids.layouts import Layout

_SUFFIX = {Layout.LCREC: ".json", Layout.MINIONEREC: ".json", Layout.GRID: ".pt"}
_MINIONEREC_LEVELS = 3


def export_ids(ids: ItemIds, layout: Layout, out: Path) -> str:
    """Write the file; return what the code that reads it needs to know.

    Raises:
        SettingsError: `out` has another ending than the layout.
        DatasetError: the layout cannot hold the ids.
    """
    if out.suffix != _SUFFIX[layout]:
        raise SettingsError(f"--out {out}: got ending {out.suffix!r}, expected {_SUFFIX[layout]} for {layout}")
    num_columns = ids.whole.shape[1]
    if layout is Layout.GRID:
        write_grid_tensor(ids, out)
        width = max(*ids.codebook_sizes, int(ids.whole[:, -1].max()) + 1)
        return f"for GRID: semantic_id_path={out} num_hierarchies={num_columns} codebook_width={width}"
    write_index_json(ids, out, numbers_shared_only=layout is Layout.MINIONEREC)
    if layout is Layout.LCREC:
        return f"each item has {counted(num_columns, 'token')}"
    num_levels = len(ids.codebook_sizes)
    one_more = ", and one more only where two items share them" if len(ids.sharing) else ""
    if num_levels != _MINIONEREC_LEVELS:
        return (
            f"MiniOneRec pairs titles with the first {_MINIONEREC_LEVELS} tokens; these ids have {num_levels}{one_more}"
            "; make ids of three levels (clairo-train ids make --preset tiger)"
        )
    return f"each item has {counted(num_levels, 'token')}{one_more}"
