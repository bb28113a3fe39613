"""Origins of public keys."""

import sqlalchemy as sa
from alembic import op

revision = "9"
down_revision = "8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; earlier keys are not public and have none."""
    op.add_column("api_keys", sa.Column("origins", sa.JSON, nullable=False, server_default="[]"))
    op.execute("UPDATE clairo_schema_version SET version = 10")
