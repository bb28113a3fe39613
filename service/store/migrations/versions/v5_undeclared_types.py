"""Bulk jobs count events of undeclared types."""

import sqlalchemy as sa
from alembic import op

revision = "5"
down_revision = "4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the counts; earlier jobs have none."""
    op.add_column("jobs", sa.Column("num_undeclared", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("undeclared_types", sa.JSON, nullable=False, server_default="{}"))
    op.execute("UPDATE clairo_schema_version SET version = 5")
