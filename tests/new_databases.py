"""New SQLite databases for tests: Alembic's steps run once per process, and later databases repeat what they made.

The steps take 80 ms, and a thousand tests open a new database. `test_store_schema.py` runs them each time.
"""

from functools import cache

from sqlalchemy import Connection, create_engine

from service.store import schema

run_steps = schema.bring_up_to_date


def bring_up_to_date(connection: Connection) -> int:
    """As `schema.bring_up_to_date`."""
    if connection.dialect.name != "sqlite" or schema.read_version(connection):
        return run_steps(connection)
    for statement in _statements():
        connection.exec_driver_sql(statement)
    return 0


@cache
def _statements() -> tuple[str, ...]:
    """What makes an empty database a migrated one."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        run_steps(connection)
        migrated = connection.connection.driver_connection
        assert migrated is not None
        statements = tuple(migrated.iterdump())[1:-1]
    engine.dispose()
    return statements
