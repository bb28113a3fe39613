"""New databases for tests: Alembic's steps run once per process, and later databases repeat or copy what they made.

The steps take 100 ms, and a thousand tests open a new database. `test_store_schema.py` runs them each time.
"""

from functools import cache

from sqlalchemy import Connection, create_engine

from service.store import schema
from tests.postgres_server import PostgresServer

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


def migrated_database(postgres: PostgresServer) -> str:
    """The url of a database of PostgreSQL with the newest tables, which nobody else has."""
    return postgres.copied_database(_template(postgres))


@cache
def _template(postgres: PostgresServer) -> str:
    url = postgres.new_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        run_steps(connection)
    engine.dispose()
    return url
