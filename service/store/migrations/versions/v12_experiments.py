"""Experiments that were started over the API."""

import sqlalchemy as sa
from alembic import op

revision = "12"
down_revision = "11"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "experiments",
        sa.Column("namespace", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(41), primary_key=True),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("bundle_id", sa.String(256), nullable=False),
        sa.Column("control_bundle_id", sa.String(256), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.execute("UPDATE clairo_schema_version SET version = 12")
