"""The store's schema, step by step, as Alembic runs them; see `service.store.schema`."""
