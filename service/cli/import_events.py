"""Load a data set's events into the store: each once, however often the command runs.

The training's readers run as a subprocess, because the service must not import training, and write one plain table.
An event's id is made of its content, so an interrupted import resumes, and POST /feedback of the same event is a
duplicate. Start at `import_events`.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from clairo_core.events import InteractionRules
from service.errors import ImportDataError
from service.feedback.meanings import undeclared_types
from service.schemas.feedback import MAX_AHEAD_SECONDS
from service.store.feedback import NO_RULES, FeedbackStore
from service.store.feedback_event import FeedbackEvent, made_event_id

EVENTS = ("-m", "training.cli", "events")
UNMATCHED = b"unmatched_rows"
"""Of the table's metadata, as its writer names it."""
EVENTS_PER_TRANSACTION = 10_000
POSITIONS_END = 1e8
"""Seconds since 1970. What lies before, in 1973, were positions."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Counts of an import."""

    num_events: int
    num_new: int
    """Events that the store lacked, of users who did not ask to be forgotten after them."""
    num_users: int
    num_positions: int
    """Events of tables with positions instead of times; they are dated as many seconds after 1970."""
    num_ahead: int
    """Events dated more than an hour ahead; they are dated now, as in POST /feedback."""
    num_unmatched: int
    """Rows left out because no condition of the data set's [events] fits."""
    undeclared: Mapping[str, int]
    """Number of events by type, of those that the served bundle's rules do not declare."""
    seconds: float


async def import_events(data: Path, feedback: FeedbackStore, rules: InteractionRules = NO_RULES) -> Imported:
    """Read the events of a data set, and store those that are new.

    Args:
        data: folder or TOML.
        feedback: of the store.
        rules: of the served bundle, by which undeclared types are counted.

    Raises:
        ImportDataError: the data set cannot be read; the text is the reader's.
        StoreError: the store cannot be written; what was stored before stays, and the next import resumes.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clairo-import-") as folder:
        table = Path(folder) / "events.parquet"
        _write_table(data, table)
        num_events, num_unmatched, batches = _batches(table)
        num_new = num_positions = num_ahead = 0
        latest = time.time() + MAX_AHEAD_SECONDS
        user_ids: set[str] = set()
        undeclared: Counter[str] = Counter()
        with tqdm(total=num_events, desc="import", unit=" events", mininterval=0.5, disable=None) as bar:
            for read in batches:
                batch = [
                    event if event.timestamp <= latest else replace(event, timestamp=time.time()) for event in read
                ]
                num_ahead += sum(event.timestamp > latest for event in read)
                num_new += await feedback.load_events(batch)
                user_ids.update(event.user_id for event in batch if event.user_id is not None)
                undeclared += undeclared_types(batch, rules)
                num_positions += sum(event.timestamp < POSITIONS_END for event in batch)
                bar.update(len(batch))
    seconds = time.monotonic() - started
    return Imported(num_events, num_new, len(user_ids), num_positions, num_ahead, num_unmatched, undeclared, seconds)


def _write_table(data: Path, table: Path) -> None:
    """Run the reader; its progress goes to standard error."""
    command = [sys.executable, *EVENTS, str(data), "--out", str(table)]
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 - our own program, no shell
        command, stdout=subprocess.DEVNULL, stderr=None if sys.stderr.isatty() else subprocess.PIPE, text=True
    ) as reader:
        lines = reader.communicate()[1].strip().splitlines() if reader.stderr is not None else []
    if reader.returncode:
        reason = lines[-1].removeprefix("error: ") if lines else "see the lines above"
        raise ImportDataError(
            f"{data} cannot be read: {reason} (exit code {reader.returncode}); correct it, and install clairo[train] "
            "beside clairo[serve]"
        )


def _batches(table: Path) -> tuple[int, int, Iterator[Sequence[FeedbackEvent]]]:
    """The number of events, the number of rows that are none, and the events in batches of one transaction."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - of clairo[train], as the readers

    file = pq.ParquetFile(table)
    batches = file.iter_batches(batch_size=EVENTS_PER_TRANSACTION)
    num_unmatched = int((file.schema_arrow.metadata or {}).get(UNMATCHED, 0))
    return file.metadata.num_rows, num_unmatched, (_events_of(batch.to_pydict()) for batch in batches)


def _events_of(columns: dict[str, list[Any]]) -> list[FeedbackEvent]:
    rows = zip(*(columns[name] for name in ("user_id", "item_id", "type", "timestamp", "value")), strict=True)
    return [
        FeedbackEvent(
            made_event_id(user_id, item_id, event_type, timestamp, value),
            user_id,
            item_id,
            event_type,
            timestamp,
            value=value,
        )
        for user_id, item_id, event_type, timestamp, value in rows
    ]
