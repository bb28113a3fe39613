"""Store bulk jobs and their rows, so that a job resumes after a kill.

A job is `receiving` until all its rows are stored, then `waiting`. Its worker increments a heartbeat. Another process
takes over once it has seen no beat for a while on its own clock, so clocks need not agree.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import accumulate

from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.store.database import Database, in_utc
from service.store.sql_tables import job_rows, jobs

KEPT_JOBS = 100
BYTES_AT_ONCE = 32 * 1024 * 1024
MAX_UNDECLARED_TYPES = 100
"""Counted by name for each job; events of further types count in the sum alone."""


class JobState(StrEnum):
    """State of a job."""

    RECEIVING = "receiving"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class JobKind(StrEnum):
    """What a row of a job is."""

    ITEMS = "items"
    PATCHES = "patches"
    FEEDBACK = "feedback"


UNFINISHED = (JobState.WAITING.value, JobState.RUNNING.value)


@dataclass(frozen=True, slots=True)
class Job:
    """A job and its progress."""

    job_id: str
    kind: JobKind
    state: JobState
    num_rows: int
    num_done: int
    num_accepted: int
    num_rejected: int
    num_duplicates: int
    """Among the accepted rows: events that the store had."""
    num_undeclared: int
    """Among the accepted rows: events that count for nothing, as no rule of the bundle fits."""
    undeclared_types: Mapping[str, int]
    """How many of them have each type."""
    worker: str | None
    heartbeat: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """A row of a job."""

    position: int
    """Among the job's rows, counted from 0."""
    line: int
    """In the body, counted from 1."""
    content: bytes | None
    """None for a row refused on arrival."""
    reason: str | None = None
    """Why it was rejected."""


@dataclass(frozen=True, slots=True)
class RowsDone:
    """The outcome of a job's next rows."""

    num_rows: int
    rejected: Sequence[JobRow] = ()
    num_duplicates: int = 0
    undeclared_types: Mapping[str, int] = field(default_factory=dict)
    """Number of accepted events by type, of those that no rule of the bundle fits."""


class JobStore:
    """Jobs of one namespace."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace

    async def begin(self, job_id: str, kind: JobKind = JobKind.ITEMS) -> None:
        """Create a job that receives rows."""
        async with self._database.transaction() as connection:
            await connection.execute(
                insert(jobs).values(
                    namespace=self._namespace,
                    job_id=job_id,
                    kind=kind.value,
                    state=JobState.RECEIVING.value,
                    num_rows=0,
                    num_done=0,
                    num_accepted=0,
                    num_rejected=0,
                    num_duplicates=0,
                    num_undeclared=0,
                    undeclared_types={},
                    heartbeat=0,
                    created_at=datetime.now(UTC),
                )
            )

    async def add_rows(self, job_id: str, rows: Sequence[JobRow]) -> None:
        """Store further rows of a receiving job."""
        async with self._database.transaction() as connection:
            await connection.execute(insert(job_rows), [self._row_values(job_id, row) for row in rows])

    async def submit(self, job_id: str, num_rows: int) -> None:
        """Queue a job, and delete all but the last hundred finished ones."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(jobs).where(self._is_job(job_id)).values(state=JobState.WAITING.value, num_rows=num_rows)
            )
            await self._prune(connection)

    async def discard(self, job_id: str) -> None:
        """Delete a job and its rows."""
        async with self._database.transaction() as connection:
            await connection.execute(delete(jobs).where(self._is_job(job_id)))

    async def discard_half_received(self, older_than: datetime) -> None:
        """Delete old jobs that never received all their rows."""
        async with self._database.transaction() as connection:
            await connection.execute(
                delete(jobs).where(
                    jobs.c.namespace == self._namespace,
                    jobs.c.state == JobState.RECEIVING.value,
                    jobs.c.created_at < older_than,
                )
            )

    async def find(self, job_id: str) -> Job | None:
        """Find a job; None if the id is unknown."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(jobs).where(self._is_job(job_id)))).first()
        return None if row is None else _job(row)

    async def newest(self, limit: int) -> Sequence[Job]:
        """List jobs, the newest first."""
        query = (
            select(jobs)
            .where(jobs.c.namespace == self._namespace)
            .order_by(jobs.c.created_at.desc(), jobs.c.job_id)
            .limit(limit)
        )
        return [_job(row) for row in await self._database.rows(query)]

    async def next_unfinished(self) -> Job | None:
        """Find the oldest unfinished job."""
        query = (
            select(jobs)
            .where(jobs.c.namespace == self._namespace, jobs.c.state.in_(UNFINISHED))
            .order_by(jobs.c.created_at, jobs.c.job_id)
            .limit(1)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _job(row)

    async def num_unfinished(self) -> int:
        """Count unfinished jobs, receiving ones included."""
        query = select(func.count()).where(jobs.c.namespace == self._namespace, jobs.c.state != JobState.DONE.value)
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def take(self, job: Job, worker: str) -> bool:
        """Claim a job for a worker, unless its heartbeat moved since it was read."""
        return await self._update_if(
            and_(self._is_job(job.job_id), jobs.c.heartbeat == job.heartbeat),
            worker=worker,
            state=JobState.RUNNING.value,
        )

    async def beat(self, job_id: str, worker: str) -> bool:
        """Increment the heartbeat; False if another worker has taken over."""
        return await self._update_if(self._is_workers(job_id, worker))

    async def let_go(self, job_id: str, worker: str) -> None:
        """Release a job, so that any worker can claim it at once."""
        await self._update_if(self._is_workers(job_id, worker), worker=None)

    async def rows_from(self, job_id: str, position: int, limit: int) -> Sequence[JobRow]:
        """List rows from a position on: at most `limit`, and at most `BYTES_AT_ONCE` after the first."""
        query = (
            select(job_rows)
            .where(self._is_row(job_id), job_rows.c.position >= position)
            .order_by(job_rows.c.position)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            sizes = (await connection.execute(query.with_only_columns(func.length(job_rows.c.content)))).scalars()
            num_rows = sum(total <= BYTES_AT_ONCE for total in accumulate(size or 0 for size in sizes))
        return await self._rows(query.limit(max(1, num_rows)))

    async def finish_rows(self, job_id: str, worker: str, outcome: RowsDone) -> bool:
        """Mark the next rows as done and store the rejected ones; False if another worker took over."""
        async with self._database.transaction() as connection:
            # Locked, which SQLite's writers are anyway: another worker must not take over between this and the update.
            own = select(jobs).where(self._is_workers(job_id, worker)).with_for_update()
            job = (await connection.execute(own)).first()
            if job is None:
                return False
            done = job.num_done + outcome.num_rows
            is_last = done >= job.num_rows
            await connection.execute(
                delete(job_rows).where(
                    self._is_row(job_id), job_rows.c.position >= job.num_done, job_rows.c.position < done
                )
            )
            if outcome.rejected:
                await connection.execute(insert(job_rows), [self._row_values(job_id, row) for row in outcome.rejected])
            await connection.execute(
                update(jobs)
                .where(self._is_job(job_id))
                .values(
                    num_done=done,
                    num_accepted=job.num_accepted + outcome.num_rows - len(outcome.rejected),
                    num_rejected=job.num_rejected + len(outcome.rejected),
                    num_duplicates=job.num_duplicates + outcome.num_duplicates,
                    num_undeclared=job.num_undeclared + sum(outcome.undeclared_types.values()),
                    undeclared_types=_added(job.undeclared_types, outcome.undeclared_types),
                    heartbeat=job.heartbeat + 1,
                    **({"state": JobState.DONE.value, "finished_at": datetime.now(UTC)} if is_last else {}),
                )
            )
            return True

    async def rejected_rows(self, job_id: str, from_position: int, limit: int) -> Sequence[JobRow]:
        """List rejected rows from a position on."""
        done = select(jobs.c.num_done).where(self._is_job(job_id)).scalar_subquery()
        query = (
            select(job_rows)
            .where(self._is_row(job_id), job_rows.c.position >= from_position, job_rows.c.position < done)
            .order_by(job_rows.c.position)
            .limit(limit)
        )
        return await self._rows(query)

    async def _rows(self, query: Select) -> list[JobRow]:
        return [JobRow(row.position, row.line, row.content, row.reason) for row in await self._database.rows(query)]

    async def _update_if(self, condition: ColumnElement[bool], **values: object) -> bool:
        statement = update(jobs).where(condition).values(heartbeat=jobs.c.heartbeat + 1, **values)
        async with self._database.transaction() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def _prune(self, connection: AsyncConnection) -> None:
        is_done = and_(jobs.c.namespace == self._namespace, jobs.c.state == JobState.DONE.value)
        old = (
            select(jobs.c.job_id).where(is_done).order_by(jobs.c.finished_at.desc()).offset(KEPT_JOBS).limit(KEPT_JOBS)
        )
        job_ids = (await connection.execute(old)).scalars().all()
        if job_ids:
            await connection.execute(
                delete(jobs).where(jobs.c.namespace == self._namespace, jobs.c.job_id.in_(job_ids))
            )

    def _row_values(self, job_id: str, row: JobRow) -> dict[str, object]:
        return {
            "namespace": self._namespace,
            "job_id": job_id,
            "position": row.position,
            "line": row.line,
            "content": row.content,
            "reason": row.reason,
        }

    def _is_job(self, job_id: str) -> ColumnElement[bool]:
        return and_(jobs.c.namespace == self._namespace, jobs.c.job_id == job_id)

    def _is_workers(self, job_id: str, worker: str) -> ColumnElement[bool]:
        return and_(jobs.c.namespace == self._namespace, jobs.c.job_id == job_id, jobs.c.worker == worker)

    def _is_row(self, job_id: str) -> ColumnElement[bool]:
        return and_(job_rows.c.namespace == self._namespace, job_rows.c.job_id == job_id)


def _added(counted: Mapping[str, int], further: Mapping[str, int]) -> dict[str, int]:
    """Add counts by type, of the first `MAX_UNDECLARED_TYPES` types."""
    return dict(list((Counter(counted) + Counter(further)).items())[:MAX_UNDECLARED_TYPES])


def _job(row: Row) -> Job:
    return Job(
        job_id=row.job_id,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        num_rows=row.num_rows,
        num_done=row.num_done,
        num_accepted=row.num_accepted,
        num_rejected=row.num_rejected,
        num_duplicates=row.num_duplicates,
        num_undeclared=row.num_undeclared,
        undeclared_types=row.undeclared_types,
        worker=row.worker,
        heartbeat=row.heartbeat,
        created_at=in_utc(row.created_at),
        finished_at=None if row.finished_at is None else in_utc(row.finished_at),
    )
