"""Types of attributes. Stored values count as the first use of a name, where they agree."""

import sqlalchemy as sa
from alembic import op

revision = "6"
down_revision = "5"
branch_labels = None
depends_on = None

_ITEMS = sa.table("items", sa.column("namespace", sa.String), sa.column("attributes", sa.JSON))
_TYPES = {str: "text", bool: "boolean", int: "number", float: "number", list: "list"}


def upgrade() -> None:
    """Add the table, and fix the types in use."""
    types = op.create_table(
        "attribute_types",
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("is_declared", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "name", name="pk_attribute_types"),
    )
    found: dict[tuple[str, str], set[str]] = {}
    for namespace, attributes in op.get_bind().execute(sa.select(_ITEMS.c.namespace, _ITEMS.c.attributes)):
        for name, value in attributes.items():
            found.setdefault((namespace, name), set()).add(_TYPES[type(value)])
    rows = [
        {"namespace": namespace, "name": name, "type": of_name.pop(), "is_declared": False}
        for (namespace, name), of_name in found.items()
        if len(of_name) == 1
    ]
    op.bulk_insert(types, rows)
    op.execute("UPDATE clairo_schema_version SET version = 6")
