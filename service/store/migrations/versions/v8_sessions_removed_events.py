"""Sessions of visitors who are not signed in, and events that were removed."""

import sqlalchemy as sa
from alembic import op

revision = "8"
down_revision = "7"
branch_labels = None
depends_on = None

_SEQUENCES = sa.table("sqlite_sequence", sa.column("name", sa.String), sa.column("seq", sa.Integer))
_IS_OF_EVENTS = _SEQUENCES.c.name == "feedback_events"


def upgrade() -> None:
    """Let events have a session and no user, and create the tables. Earlier events keep their users."""
    newest = _newest_sequence()
    with op.batch_alter_table("feedback_events", table_kwargs={"sqlite_autoincrement": True}) as events:
        events.alter_column("user_id", existing_type=sa.String(256), nullable=True)
        events.add_column(sa.Column("session_id", sa.String(256), nullable=True))
    if newest is not None:
        # The copy of a table would give the sequence of a deleted event again.
        op.get_bind().execute(_SEQUENCES.update().where(_IS_OF_EVENTS).values(seq=newest))
    op.create_index(
        "ix_feedback_events_session",
        "feedback_events",
        ["namespace", "session_id", "timestamp", "sequence"],
        sqlite_where=sa.text("session_id IS NOT NULL"),
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    op.create_table(
        "merged_sessions",
        sa.Column("namespace", sa.String(63), primary_key=True),
        sa.Column("session_id", sa.String(256), primary_key=True),
        sa.Column("user_id", sa.String(256), nullable=False),
    )
    op.create_index("ix_merged_sessions_user", "merged_sessions", ["namespace", "user_id"])
    op.create_table(
        "removed_events",
        sa.Column("namespace", sa.String(63), primary_key=True),
        sa.Column("event_digest", sa.String(64), primary_key=True),
    )
    op.execute("UPDATE clairo_schema_version SET version = 9")


def _newest_sequence() -> int | None:
    """The last sequence that SQLite gave to an event; None before the first. PostgreSQL copies nothing."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return None
    newest: int | None = connection.execute(sa.select(_SEQUENCES.c.seq).where(_IS_OF_EVENTS)).scalar_one_or_none()
    return newest
