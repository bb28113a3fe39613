"""Values and longer types of events, and jobs of several kinds."""

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"
branch_labels = None
depends_on = None

_SEQUENCES = sa.table("sqlite_sequence", sa.column("name", sa.String), sa.column("seq", sa.Integer))
_IS_OF_EVENTS = _SEQUENCES.c.name == "feedback_events"


def upgrade() -> None:
    """Add the columns; earlier events have no value, and earlier jobs hold items."""
    newest = _newest_sequence()
    with op.batch_alter_table("feedback_events", table_kwargs={"sqlite_autoincrement": True}) as events:
        events.alter_column("type", existing_type=sa.String(32), type_=sa.String(64), existing_nullable=False)
        events.add_column(sa.Column("value", sa.Float(53), nullable=True))
    if newest is not None:
        # The copy of a table would give the sequence of a deleted event again.
        op.get_bind().execute(_SEQUENCES.update().where(_IS_OF_EVENTS).values(seq=newest))
    # Not copied: SQLite would delete the rows of all jobs with the old table.
    op.add_column("jobs", sa.Column("kind", sa.String(16), nullable=False, server_default="items"))
    op.add_column("jobs", sa.Column("num_duplicates", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE clairo_schema_version SET version = 4")


def _newest_sequence() -> int | None:
    """The last sequence that SQLite gave to an event; None before the first. PostgreSQL copies nothing."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return None
    newest: int | None = connection.execute(sa.select(_SEQUENCES.c.seq).where(_IS_OF_EVENTS)).scalar_one_or_none()
    return newest
