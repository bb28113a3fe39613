"""Feedback, users, jobs, keys, bundles, idempotency records; items that change, or come back."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Allow several changes per item, then create the other tables."""
    with op.batch_alter_table("catalogue_changes") as changes:
        changes.drop_constraint("uq_catalogue_changes_namespace_item_id_kind", type_="unique")
    op.create_index("ix_catalogue_changes_namespace_item_id", "catalogue_changes", ["namespace", "item_id"])
    _create_feedback()
    _create_jobs()
    _create_keys_and_records()
    op.execute("UPDATE clairo_schema_version SET version = 2")


def _create_feedback() -> None:
    op.create_table(
        "feedback_events",
        sa.Column("sequence", _SEQUENCE, nullable=False),
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("event_id", sa.String(256), nullable=False),
        sa.Column("user_id", sa.String(256), nullable=False),
        sa.Column("item_id", sa.String(256), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("timestamp", sa.Float(53), nullable=False),
        sa.Column("recommendation_id", sa.String(256), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_feedback_events"),
        sa.UniqueConstraint("namespace", "event_id", name="uq_feedback_events_namespace_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_feedback_events_user", "feedback_events", ["namespace", "user_id", "timestamp", "sequence"])
    op.create_table(
        "users",
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("user_digest", sa.String(64), nullable=False),
        sa.Column("forgotten_until", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "user_digest", name="pk_users"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("num_rows", sa.Integer, nullable=False),
        sa.Column("num_done", sa.Integer, nullable=False),
        sa.Column("num_accepted", sa.Integer, nullable=False),
        sa.Column("num_rejected", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(64), nullable=True),
        sa.Column("heartbeat", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "job_id", name="pk_jobs"),
    )
    op.create_table(
        "job_rows",
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=True),
        sa.Column("reason", sa.String(1000), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "job_id", "position", name="pk_job_rows"),
        sa.ForeignKeyConstraint(
            ["namespace", "job_id"],
            ["jobs.namespace", "jobs.job_id"],
            name="fk_job_rows_namespace_job_id",
            ondelete="CASCADE",
        ),
    )


def _create_keys_and_records() -> None:
    op.create_table(
        "api_keys",
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("key_digest", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("requests_per_minute", sa.Integer, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "key_id", name="pk_api_keys"),
    )
    op.create_table(
        "bundle_activations",
        sa.Column("sequence", _SEQUENCE, nullable=False),
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("bundle_id", sa.String(256), nullable=False),
        sa.Column("path", sa.String(4096), nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_bundle_activations"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_bundle_activations_namespace", "bundle_activations", ["namespace", "sequence"])
    op.create_table(
        "idempotency_records",
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("call", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=False),
        sa.Column("body_digest", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("headers", sa.JSON, nullable=True),
        sa.Column("body", sa.LargeBinary, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "call", "idempotency_key", name="pk_idempotency_records"),
    )
    op.create_index("ix_idempotency_records_created_at", "idempotency_records", ["namespace", "created_at"])
