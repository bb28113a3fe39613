"""The store's tables for SQLAlchemy; the steps in `migrations` create them.

Every table has a namespace, so one database can serve several shops. Plain types only, for SQLite and PostgreSQL.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
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
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# The version before Alembic. Still maintained, so that a CLAIRO of that time refuses newer tables.
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
    # A list of [name, text]: an object would lose the reading order.
    Column("texts", JSON, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("picture", LargeBinary, nullable=True),
    Column("picture_digest", String(64), nullable=True),
    Column("content_digest", String(64), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

attribute_types = Table(
    "attribute_types",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("type", String(16), nullable=False),
    # By PUT /schema; otherwise by the first use of the name.
    Column("is_declared", Boolean, nullable=False),
)

item_features = Table(
    "item_features",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("bundle_id", String(256), primary_key=True),
    Column("item_id", String(256), primary_key=True),
    # Values joined by commas: a JSON value cannot be unique in every database.
    Column("feature_set", String(1024), nullable=False),
    # Little-endian float32.
    Column("item_embedding", LargeBinary, nullable=False),
    Column("missing_modalities", JSON, nullable=False),
    # `items.described_digest` of the content that these features describe.
    Column("described_digest", String(64), nullable=False),
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
    # In order of arrival. SQLite autoincrements only an INTEGER.
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("namespace", String(63), nullable=False),
    Column("event_id", String(256), nullable=False),
    # One of both at least. Null: the session of a visitor who is not signed in, not merged into a user.
    Column("user_id", String(256), nullable=True),
    Column("session_id", String(256), nullable=True),
    Column("item_id", String(256), nullable=False),
    Column("type", String(64), nullable=False),
    # For conditions of the bundle's rules, such as a rating.
    Column("value", Float(53), nullable=True),
    # Seconds since 1970: the client's, or the time of arrival.
    Column("timestamp", Float(53), nullable=False),
    Column("recommendation_id", String(256), nullable=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("namespace", "event_id"),
    Index("ix_feedback_events_user", "namespace", "user_id", "timestamp", "sequence"),
    # Most events of a shop may have no session: they take no place in it.
    Index(
        "ix_feedback_events_session",
        "namespace",
        "session_id",
        "timestamp",
        "sequence",
        sqlite_where=text("session_id IS NOT NULL"),
        postgresql_where=text("session_id IS NOT NULL"),
    ),
    Index("ix_feedback_events_user_items", "namespace", "user_id", "type", "item_id"),
    Index("ix_feedback_events_timestamp", "namespace", "timestamp"),
    Index("ix_feedback_events_item", "namespace", "item_id", "user_id", "timestamp"),
    sqlite_autoincrement=True,
)

users = Table(
    "users",
    metadata,
    Column("namespace", String(63), primary_key=True),
    # SHA-256 of the id of a user, or of a session that was merged into him: their ids are not stored.
    Column("user_digest", String(64), primary_key=True),
    # Seconds since 1970: events dated up to then are refused.
    Column("forgotten_until", Float(53), nullable=False),
)

merged_sessions = Table(
    "merged_sessions",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("session_id", String(256), primary_key=True),
    Column("user_id", String(256), nullable=False),
    Index("ix_merged_sessions_user", "namespace", "user_id"),
)

removed_events = Table(
    "removed_events",
    metadata,
    Column("namespace", String(63), primary_key=True),
    # SHA-256 of the event's id: sent again, it stays out.
    Column("event_digest", String(64), primary_key=True),
)

event_changes = Table(
    "event_changes",
    metadata,
    Column("namespace", String(63), primary_key=True),
    # How often stored events were deleted or became a user's: whoever has counted them counts again.
    Column("number", BigInteger, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("job_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    # What a row is: an item or an event.
    Column("kind", String(16), nullable=False, server_default="items"),
    Column("num_rows", Integer, nullable=False),
    Column("num_done", Integer, nullable=False),
    Column("num_accepted", Integer, nullable=False),
    Column("num_rejected", Integer, nullable=False),
    # Among the accepted rows: events that the store had.
    Column("num_duplicates", Integer, nullable=False, server_default="0"),
    # Among the accepted rows: events that no rule of the bundle fits, and how many have each type.
    Column("num_undeclared", Integer, nullable=False, server_default="0"),
    Column("undeclared_types", JSON, nullable=False, server_default="{}"),
    # The worker, and a count that grows while it works: clocks need not agree.
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
    # Counted from 0, without blank lines.
    Column("position", Integer, primary_key=True, autoincrement=False),
    # Counted from 1, blank lines included.
    Column("line", Integer, nullable=False),
    # As sent; null once the row is done.
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
    # SHA-256 of the whole key. The key itself is not stored.
    Column("key_digest", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("requests_per_minute", Integer, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True), nullable=True),
    # Of a public key.
    Column("origins", JSON, nullable=False, server_default="[]"),
)

placements = Table(
    "placements",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    # Null: this version deleted the placement.
    Column("rules", JSON(none_as_null=True), nullable=True),
    Column("saved_at", DateTime(timezone=True), nullable=False),
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

experiments = Table(
    "experiments",
    metadata,
    Column("namespace", String(63), primary_key=True),
    # Once and for all: recommendation ids carry it.
    Column("name", String(41), primary_key=True),
    Column("share", Float, nullable=False),
    Column("bundle_id", String(256), nullable=False),
    # Served when it started.
    Column("control_bundle_id", String(256), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    # Null while it runs.
    Column("ended_at", DateTime(timezone=True), nullable=True),
)

idempotency_records = Table(
    "idempotency_records",
    metadata,
    Column("namespace", String(63), primary_key=True),
    Column("call", String(64), primary_key=True),
    Column("idempotency_key", String(255), primary_key=True),
    Column("body_digest", String(64), nullable=False),
    # Null until the call has been answered.
    Column("status", Integer, nullable=True),
    Column("headers", JSON, nullable=True),
    Column("body", LargeBinary, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("ix_idempotency_records_created_at", "namespace", "created_at"),
)
