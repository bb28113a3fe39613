"""Write small files in published layouts, and read their datasets back as histories."""

import gzip
from pathlib import Path

from clairo_core.events import InteractionRules
from training.datasets import Dataset

FIVE = range(1, 6)
CORE = InteractionRules(repeats="drop", min_interactions=5, unknown_items="drop")


def write_lines(path: Path, lines: list[str], encoding: str = "utf-8") -> None:
    content = "".join(f"{line}\n" for line in lines).encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def histories(dataset: Dataset) -> dict[str, list[str]]:
    rows = (dataset.sequences[place] for place in range(len(dataset.user_ids)))
    ids = [[dataset.items[row].item_id for row in sequence] for sequence in rows]
    return dict(zip(dataset.user_ids, ids, strict=True))
