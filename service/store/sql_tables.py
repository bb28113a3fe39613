"""The store's tables, as SQLAlchemy describes them; the steps in `migrations` make them.

Every table has a namespace, so that one database can serve several shops. Written for SQLite and PostgreSQL alike:
plain types, no vendor's functions.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# What counted versions before Alembic did. Kept and counted on, so that a CLAIRO of that time refuses our tables.
schema_version = Table(
    "clairo_schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

items = Table(
    "items",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("item_id", String(256), primary_key=True),
    # A list of [name, text]: an object would lose the order in which an encoder reads them.
    Column("texts", JSON, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("picture", LargeBinary, nullable=True),
    Column("picture_digest", String(64), nullable=True),
    Column("content_digest", String(64), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

item_features = Table(
    "item_features",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("bundle_id", String(256), primary_key=True),
    Column("item_id", String(256), primary_key=True),
    # Values joined by commas: a text can be unique in every database, a JSON value cannot.
    Column("feature_set", String(1024), nullable=False),
    # Little-endian float32.
    Column("item_embedding", LargeBinary, nullable=False),
    Column("missing_modalities", JSON, nullable=False),
    UniqueConstraint("namespace", "bundle_id", "feature_set"),
    ForeignKeyConstraint(["namespace", "item_id"], ["items.namespace", "items.item_id"]),
)

catalogue_changes = Table(
    "catalogue_changes",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("item_id", String(256), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("ix_catalogue_changes_namespace_item_id", "namespace", "item_id"),
)

feedback_events = Table(
    "feedback_events",
    metadata,
    # In the order in which they came; SQLite counts in an INTEGER alone.
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("namespace", String(63), nullable=False),
    Column("event_id", String(256), nullable=False),
    Column("user_id", String(256), nullable=False),
    Column("item_id", String(256), nullable=False),
    Column("type", String(32), nullable=False),
    # Seconds since 1970, as the client says or when the event came.
    Column("timestamp", Float(53), nullable=False),
    Column("recommendation_id", String(256), nullable=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("namespace", "event_id"),
    Index("ix_feedback_events_user", "namespace", "user_id", "timestamp", "sequence"),
    sqlite_autoincrement=True,
)

users = Table(
    "users",
    metadata,
    Column("namespace", String(63), primary_key=True),
    # SHA-256 of the user's id: whoever asks to be forgotten is not kept by name.
    Column("user_digest", String(64), primary_key=True),
    # Seconds since 1970: events that happened up to then are not taken again.
    Column("forgotten_until", Float(53), nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("job_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("num_rows", Integer, nullable=False),
    Column("num_done", Integer, nullable=False),
    Column("num_accepted", Integer, nullable=False),
    Column("num_rejected", Integer, nullable=False),
    # Who works on it, and a count that grows while they do: no clock needs to agree with another.
    Column("worker", String(64), nullable=True),
    Column("heartbeat", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True), nullable=True),
)

job_rows = Table(
    "job_rows",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("job_id", String(64), primary_key=True),
    # Rows that are not blank, counted from 0.
    Column("position", Integer, primary_key=True, autoincrement=False),
    # Counted from 1, blank lines included.
    Column("line", Integer, nullable=False),
    # As it was sent; none once the row is done.
    Column("content", LargeBinary, nullable=True),
    Column("reason", String(1000), nullable=True),
    ForeignKeyConstraint(["namespace", "job_id"], ["jobs.namespace", "jobs.job_id"], ondelete="CASCADE"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("key_id", String(16), primary_key=True),
    Column("name", String(100), nullable=False),
    # SHA-256 of the whole key, which is shown once and kept nowhere.
    Column("key_digest", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("requests_per_minute", Integer, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True), nullable=True),
)

bundle_activations = Table(
    "bundle_activations",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("namespace", String(63), nullable=False),
    Column("bundle_id", String(256), nullable=False),
    Column("path", String(4096), nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("activated_at", DateTime(timezone=True), nullable=False),
    Index("ix_bundle_activations_namespace", "namespace", "sequence"),
    sqlite_autoincrement=True,
)

idempotency_records = Table(
    "idempotency_records",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("call", String(64), primary_key=True),
    Column("idempotency_key", String(255), primary_key=True),
    Column("body_digest", String(64), nullable=False),
    # None until the call has been answered.
    Column("status", Integer, nullable=True),
    Column("headers", JSON, nullable=True),
    Column("body", LargeBinary, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("ix_idempotency_records_created_at", "namespace", "created_at"),
)
