"""The store's tables, as SQLAlchemy describes them.

Every table has a namespace, so that one database can serve several shops. Written for SQLite and PostgreSQL alike:
plain types, no vendor's functions.
"""

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    ForeignKeyConstraint,
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
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

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
    UniqueConstraint("namespace", "item_id", "kind"),
)
