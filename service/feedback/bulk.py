"""The rows of POST /feedback/bulk: events, each stored once.

A row without an event_id gets one of its content, or without a timestamp too, of its job and line: work that a kill
interrupted is done again without a second copy. Independent of HTTP. Start at `FeedbackRows.work_from`.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clairo_core.errors import ClairoError
from clairo_core.events import InteractionRules
from service.feedback.meanings import undeclared_types
from service.jobs.bulk import reason_of
from service.store.feedback import EventOutcome, FeedbackStore
from service.store.feedback_event import FeedbackEvent
from service.store.jobs import Job, JobRow, JobStore, RowsDone

BATCH_ROWS = 1000
FORGOTTEN = "the event is older than the user's request to be forgotten"

ReadEvent = Callable[[Any, str, float], FeedbackEvent]
"""A row's JSON, the id of an event that has neither id nor timestamp, and the time of arrival -> the event."""


@dataclass(slots=True)
class _Row:
    row: JobRow
    event: FeedbackEvent | None
    reason: str = ""


class FeedbackRows:
    """Stores the events of a job's rows.

    Args:
        jobs: with the rows.
        feedback: of the store.
        read_event: reads a row.
        rules: returns those of the served bundle, by which undeclared types are counted.
    """

    def __init__(
        self, jobs: JobStore, feedback: FeedbackStore, read_event: ReadEvent, rules: Callable[[], InteractionRules]
    ) -> None:
        self._jobs = jobs
        self._feedback = feedback
        self._read_event = read_event
        self._rules = rules

    async def work_from(self, job: Job, position: int) -> RowsDone:
        """Store the next rows' events.

        Raises:
            StoreError: none was stored.
        """
        stored = await self._jobs.rows_from(job.job_id, position, BATCH_ROWS)
        rows = await asyncio.to_thread(self._read, job, stored)
        outcomes = iter(await self._feedback.add_events([row.event for row in rows if row.event is not None]))
        num_duplicates = 0
        for row in rows:
            outcome = None if row.event is None else next(outcomes)
            num_duplicates += outcome is EventOutcome.DUPLICATE
            if outcome is EventOutcome.FORGOTTEN:
                row.reason = FORGOTTEN
        accepted = [row.event for row in rows if row.event is not None and not row.reason]
        rejected = [JobRow(row.row.position, row.row.line, None, row.reason) for row in rows if row.reason]
        return RowsDone(len(rows), rejected, num_duplicates, undeclared_types(accepted, self._rules()))

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
