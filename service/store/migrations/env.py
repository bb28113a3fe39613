"""Alembic's entry point. Runs steps in the transaction of `service.store.schema`'s connection: all or none."""

from alembic import context

from service.store.sql_tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
