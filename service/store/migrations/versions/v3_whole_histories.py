"""An index for all items of a user: histories of any length are left out, and dislikes are looked up."""

from alembic import op

revision = "3"
down_revision = "2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index("ix_feedback_events_user_items", "feedback_events", ["namespace", "user_id", "type", "item_id"])
    op.execute("UPDATE clairo_schema_version SET version = 3")
