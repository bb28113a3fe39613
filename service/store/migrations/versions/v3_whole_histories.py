"""An index for all items of a user, no events ahead of their arrival, and features that name their content."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"
branch_labels = None
depends_on = None

_MAX_AHEAD_SECONDS = 3600


def upgrade() -> None:
    """Create the index, give events from the future their time of arrival, and mark features of older content."""
    op.create_index("ix_feedback_events_user_items", "feedback_events", ["namespace", "user_id", "type", "item_id"])
    _clamp_events()
    with op.batch_alter_table("item_features") as features:
        features.add_column(sa.Column("described_digest", sa.String(64), nullable=False, server_default=""))
    _name_described_content()
    with op.batch_alter_table("item_features") as features:
        features.alter_column("described_digest", server_default=None)
    op.execute("UPDATE clairo_schema_version SET version = 3")


def _clamp_events() -> None:
    events = sa.table(
        "feedback_events",
        sa.column("sequence", sa.BigInteger),
        sa.column("timestamp", sa.Float(53)),
        sa.column("received_at", sa.DateTime(timezone=True)),
    )
    connection = op.get_bind()
    # An event that was ahead and is past by now does no more harm.
    is_ahead = events.c.timestamp > datetime.now(UTC).timestamp() + _MAX_AHEAD_SECONDS
    for row in connection.execute(sa.select(events.c.sequence, events.c.received_at).where(is_ahead)).all():
        # SQLite drops the zone; all stored times are UTC.
        received_at = row.received_at if row.received_at.tzinfo else row.received_at.replace(tzinfo=UTC)
        connection.execute(
            events.update().where(events.c.sequence == row.sequence).values(timestamp=received_at.timestamp())
        )


def _name_described_content() -> None:
    """Features of an item that changed since it was added keep an empty digest: they are described again."""
    items = sa.table("items", *map(sa.column, ("namespace", "item_id", "picture_digest")), sa.column("texts", sa.JSON))
    changes = sa.table("catalogue_changes", *map(sa.column, ("namespace", "item_id", "kind")))
    features = sa.table("item_features", *map(sa.column, ("namespace", "item_id", "described_digest")))
    has_changed = sa.exists().where(
        changes.c.namespace == items.c.namespace,
        changes.c.item_id == items.c.item_id,
        changes.c.kind.in_(["changed", "restored"]),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(items).where(~has_changed)).all():
        connection.execute(
            features.update()
            .where(features.c.namespace == row.namespace, features.c.item_id == row.item_id)
            .values(described_digest=_described_digest(dict(row.texts), row.picture_digest))
        )


def _described_digest(texts: Mapping[str, str], picture_digest: str | None) -> str:
    """As `clairo_core.items.described_digest` at this version."""
    words = "\n".join(text.strip() for text in texts.values() if text.strip())
    return hashlib.sha256(json.dumps([words, picture_digest]).encode()).hexdigest()
