"""Connect to PostgreSQL such that a restart of it fails only the calls it interrupts.

A pooled connection is tested before use and replaced if the server has restarted. Writers to one namespace take turns
by an advisory lock, which ends with their transaction or connection.
"""

import hashlib

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.errors import StoreError

DRIVER = "postgresql+psycopg"
POOL_SIZE = 5
MAX_FURTHER_CONNECTIONS = 10
POOL_TIMEOUT_SECONDS = 10
CONNECT_TIMEOUT_SECONDS = 5
LOCK_TIMEOUT_SECONDS = 20


def parsed_url(text: str) -> URL:
    """Parse the url of a PostgreSQL database, and set our driver.

    Raises:
        StoreError: it is not a url. The text leaves it out, as it may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            "database_url is not a url; expected postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from error
    return url.set(drivername=DRIVER)


def create_postgres_engine(url: URL) -> AsyncEngine:
    """Create an engine on the server, without connecting yet."""
    return create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=MAX_FURTHER_CONNECTIONS,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        # A SQL_ASCII database would otherwise return bytes and store them unchecked.
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS, "client_encoding": "utf8"},
    )


def advisory_lock_key(namespace: str, purpose: str) -> int:
    """A signed 64-bit key, unique per purpose and namespace."""
    digest = hashlib.sha256(f"clairo\n{namespace}\n{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
