"""An index for all items of a user, and no events ahead of the clock that received them."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"
branch_labels = None
depends_on = None

_MAX_AHEAD_SECONDS = 3600


def upgrade() -> None:
    """Create the index, and give events from the future their time of arrival."""
    op.create_index("ix_feedback_events_user_items", "feedback_events", ["namespace", "user_id", "type", "item_id"])
    _clamp_events()
    op.execute("UPDATE clairo_schema_version SET version = 3")


def _clamp_events() -> None:
    events = sa.table(
        "feedback_events",
        sa.column("sequence", sa.BigInteger),
        sa.column("timestamp", sa.Float(53)),
        sa.column("received_at", sa.DateTime(timezone=True)),
    )
    connection = op.get_bind()
    # An event that was ahead and is past by now does no more harm.
    is_ahead = events.c.timestamp > datetime.now(UTC).timestamp() + _MAX_AHEAD_SECONDS
    for row in connection.execute(sa.select(events.c.sequence, events.c.received_at).where(is_ahead)).all():
        # SQLite drops the zone; all stored times are UTC.
        received_at = row.received_at if row.received_at.tzinfo else row.received_at.replace(tzinfo=UTC)
        connection.execute(
            events.update().where(events.c.sequence == row.sequence).values(timestamp=received_at.timestamp())
        )
