"""How often stored events were deleted or became a user's."""

import sqlalchemy as sa
from alembic import op

revision = "11"
down_revision = "10"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "event_changes",
        sa.Column("namespace", sa.String(63), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.execute("UPDATE clairo_schema_version SET version = 11")
