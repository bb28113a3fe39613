"""Finished parts of a long run beside its result, so that the next run goes on after them. Start at `PartsFolder.open`.

    .NAME.parts/plan.json  part-000000.parquet  part-000001.parquet  ...

Each part is written aside and renamed: after a kill it is whole, or missing.
"""

import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clairo_core.storage.replaced_file import replace_text, replaced_file

PLAN_FILE = "plan.json"
MAX_AGE_SECONDS = 24 * 3600.0
"""A run on a service is not resumed after longer: its users have done other things since."""


@dataclass(frozen=True, slots=True)
class PartsFolder:
    """The parts of one plan."""

    folder: Path

    @classmethod
    def open(cls, out: Path, plan: Mapping[str, object], max_age_seconds: float = math.inf) -> "PartsFolder":
        """Open the folder beside `out`. Parts of another plan, and of a run begun longer ago, are removed.

        Args:
            out: the result.
            plan: all that the parts depend on, ready for JSON.
            max_age_seconds: of the run's beginning.

        Raises:
            OSError: the folder cannot be written.
        """
        folder = out.with_name(f".{out.name}.parts")
        plan_file, text = folder / PLAN_FILE, json.dumps(plan, sort_keys=True)
        is_same = plan_file.is_file() and plan_file.read_text(encoding="utf-8") == text
        if not is_same or time.time() - plan_file.stat().st_mtime > max_age_seconds:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            replace_text(plan_file, text)
        return cls(folder)

    @property
    def num_parts(self) -> int:
        """Number of finished parts; they are written in order."""
        return len(list(self.folder.glob("part-*.parquet")))

    def write(self, number: int, table: pa.Table) -> None:
        """Write a part.

        Raises:
            OSError: it cannot be written.
        """
        with replaced_file(self._path_of(number)) as aside:
            pq.write_table(table, aside)

    def read(self) -> Iterator[pa.Table]:
        """Read the parts in order."""
        for number in range(self.num_parts):
            yield pq.read_table(self._path_of(number))

    def remove(self) -> None:
        """Remove the folder, once the result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path_of(self, number: int) -> Path:
        return self.folder / f"part-{number:06}.parquet"
