"""The rows of POST /feedback/bulk: events, each stored once.

A row without an event_id gets one of its content, or without a timestamp too, of its job and line: work that a kill
interrupted is done again without a second copy. Independent of HTTP. Start at `FeedbackRows.work_from`.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clairo_core.errors import ClairoError
from service.jobs.bulk import RowsDone, reason_of
from service.store.feedback import EventOutcome, FeedbackEvent, FeedbackStore
from service.store.jobs import Job, JobRow, JobStore

BATCH_ROWS = 1000
FORGOTTEN = "the event is older than the user's request to be forgotten"

ReadEvent = Callable[[Any, str, float], FeedbackEvent]
"""A row's JSON, the id of an event that has neither id nor timestamp, and the time of arrival -> the event."""

WarningsOf = Callable[[Sequence[FeedbackEvent]], list[str]]
"""What is wrong with events that are stored all the same."""

logger = logging.getLogger("clairo.bulk")


@dataclass(slots=True)
class _Row:
    row: JobRow
    event: FeedbackEvent | None
    reason: str = ""


class FeedbackRows:
    """Stores the events of a job's rows."""

    def __init__(self, jobs: JobStore, feedback: FeedbackStore, read_event: ReadEvent, warnings_of: WarningsOf) -> None:
        self._jobs = jobs
        self._feedback = feedback
        self._read_event = read_event
        self._warnings_of = warnings_of
        self._warned_job_id = ""

    async def work_from(self, job: Job, position: int) -> RowsDone:
        """Store the next rows' events.

        Raises:
            StoreError: none was stored.
        """
        stored = await self._jobs.rows_from(job.job_id, position, BATCH_ROWS)
        rows = await asyncio.to_thread(self._read, job, stored)
        events = [row.event for row in rows if row.event is not None]
        outcomes = iter(await self._feedback.add_events(events))
        self._warn(job, events)
        num_duplicates = 0
        for row in rows:
            outcome = None if row.event is None else next(outcomes)
            num_duplicates += outcome is EventOutcome.DUPLICATE
            if outcome is EventOutcome.FORGOTTEN:
                row.reason = FORGOTTEN
        rejected = [JobRow(row.row.position, row.row.line, None, row.reason) for row in rows if row.reason]
        return RowsDone(len(rows), rejected, num_duplicates)

    def _warn(self, job: Job, events: Sequence[FeedbackEvent]) -> None:
        """Log what is wrong with stored events, once per job: the job lists rejected rows only."""
        if job.job_id != self._warned_job_id and (warnings := self._warnings_of(events)):
            self._warned_job_id = job.job_id
            logger.warning("bulk job %s: %s", job.job_id, "; ".join(warnings))

    def _read(self, job: Job, rows: Sequence[JobRow]) -> list[_Row]:
        return [self._read_row(job, row) for row in rows]

    def _read_row(self, job: Job, row: JobRow) -> _Row:
        if row.content is None:
            return _Row(row, None, row.reason or "the line was not kept")
        event_id = f"made-{job.job_id}-{row.position}"
        try:
            return _Row(row, self._read_event(json.loads(row.content), event_id, job.created_at.timestamp()))
        except ClairoError as error:
            return _Row(row, None, reason_of(error, row))
        except Exception as error:
            is_known = isinstance(error, ValueError | RecursionError)
            return _Row(row, None, reason_of(error, row, "not JSON: " if is_known else ""))
