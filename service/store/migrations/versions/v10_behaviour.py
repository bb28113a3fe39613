"""Indexes for what all users did: events within a window of time, and purchases of an item."""

from alembic import op

revision = "10"
down_revision = "9"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the indexes."""
    op.create_index("ix_feedback_events_timestamp", "feedback_events", ["namespace", "timestamp"])
    op.create_index("ix_feedback_events_item", "feedback_events", ["namespace", "item_id", "user_id", "timestamp"])
    op.execute("UPDATE clairo_schema_version SET version = 10")
