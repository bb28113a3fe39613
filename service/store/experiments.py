"""Store experiments: one runs at a time, each name once. Start at `ExperimentStore.start`."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Row, insert, select, update

from service.errors import ExperimentConflictError
from service.store.database import Database, in_utc
from service.store.sql_tables import experiments


@dataclass(frozen=True, slots=True)
class StoredExperiment:
    """An experiment that was started over the API."""

    name: str
    share: float
    """Share of users in the treatment arm, from 0 to 1."""
    bundle_id: str
    """Bundle of the treatment arm."""
    control_bundle_id: str
    """Served when it started."""
    started_at: datetime
    ended_at: datetime | None
    """None while it runs."""


class ExperimentStore:
    """Experiments of one namespace. Raises `StoreError` where the store cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._namespace = database.namespace

    async def start(self, name: str, share: float, bundle_id: str, control_bundle_id: str) -> None:
        """Record an experiment that runs from now on.

        Raises:
            ExperimentConflictError: another one runs, or the name was used before.
        """
        async with self._database.transaction("experiments") as connection:
            query = select(experiments).where(experiments.c.namespace == self._namespace)
            recorded = [_experiment(row) for row in (await connection.execute(query)).all()]
            for other in recorded:
                if other.ended_at is None:
                    raise ExperimentConflictError(
                        f"experiment {other.name} is running; DELETE /experiments/{other.name} first"
                    )
                if other.name == name:
                    # Recommendation ids carry the name: feedback on the earlier one would count for this one.
                    raise ExperimentConflictError(f"an earlier experiment was named {name}; choose another name")
            await connection.execute(
                insert(experiments).values(
                    namespace=self._namespace,
                    name=name,
                    share=share,
                    bundle_id=bundle_id,
                    control_bundle_id=control_bundle_id,
                    started_at=datetime.now(UTC),
                )
            )

    async def end(self, name: str) -> None:
        """Record that an experiment has ended; nothing if it had."""
        is_running = (
            (experiments.c.namespace == self._namespace)
            & (experiments.c.name == name)
            & experiments.c.ended_at.is_(None)
        )
        async with self._database.transaction("experiments") as connection:
            await connection.execute(update(experiments).where(is_running).values(ended_at=datetime.now(UTC)))

    async def newest(self) -> StoredExperiment | None:
        """The experiment that was started last; None if there was none."""
        query = (
            select(experiments)
            .where(experiments.c.namespace == self._namespace)
            .order_by(experiments.c.started_at.desc(), experiments.c.name)
            .limit(1)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _experiment(row)


def _experiment(row: Row) -> StoredExperiment:
    return StoredExperiment(
        name=row.name,
        share=row.share,
        bundle_id=row.bundle_id,
        control_bundle_id=row.control_bundle_id,
        started_at=in_utc(row.started_at),
        ended_at=None if row.ended_at is None else in_utc(row.ended_at),
    )
