"""Posted items, their features per bundle, and the catalogue's versions.

A database from before CLAIRO used Alembic counts as being at this step.
"""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the first tables."""
    version = op.create_table(
        "clairo_schema_version",
        sa.Column("version", sa.Integer, autoincrement=False),
        sa.PrimaryKeyConstraint("version", name="pk_clairo_schema_version"),
    )
    op.bulk_insert(version, [{"version": 1}])
    op.create_table(
        "items",
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("texts", sa.JSON, nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("picture", sa.LargeBinary, nullable=True),
        sa.Column("picture_digest", sa.String(64), nullable=True),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "item_id", name="pk_items"),
    )
    op.create_table(
        "item_features",
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("bundle_id", sa.String(256), nullable=False),
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("feature_set", sa.String(1024), nullable=False),
        sa.Column("item_embedding", sa.LargeBinary, nullable=False),
        sa.Column("missing_modalities", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "bundle_id", "item_id", name="pk_item_features"),
        sa.UniqueConstraint(
            "namespace", "bundle_id", "feature_set", name="uq_item_features_namespace_bundle_id_feature_set"
        ),
        sa.ForeignKeyConstraint(
            ["namespace", "item_id"], ["items.namespace", "items.item_id"], name="fk_item_features_namespace_item_id"
        ),
    )
    op.create_table(
        "catalogue_changes",
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "version", name="pk_catalogue_changes"),
        sa.UniqueConstraint("namespace", "item_id", "kind", name="uq_catalogue_changes_namespace_item_id_kind"),
    )
