"""What Alembic runs to take a step: inside the transaction of the connection that `service.store.schema` gives it.

So either all steps are taken or none, in SQLite as in PostgreSQL.
"""

from alembic import context

from service.store.sql_tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
