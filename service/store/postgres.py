"""Connect to PostgreSQL so that a restart of it costs no more than the calls it interrupts.

A connection is tried before it is lent out, and replaced if the server has gone away since. Writers to one namespace
take turns at an advisory lock, which ends with their transaction and with their connection.
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
    """The url of a PostgreSQL database, for the driver that we use.

    Raises:
        StoreError: it is none. What it says is not repeated: it may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError("database_url is no url; write postgresql+psycopg://USER:PASSWORD@HOST/DATABASE") from error
    return url.set(drivername=DRIVER)


def create_postgres_engine(url: URL) -> AsyncEngine:
    """An engine on the server. Nothing is opened yet."""
    return create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=MAX_FURTHER_CONNECTIONS,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        # A database of SQL_ASCII would hand out bytes, and take them as they come.
        connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS, "client_encoding": "utf8"},
    )


def advisory_lock_key(namespace: str, purpose: str) -> int:
    """A signed number of 64 bits that only this purpose in this namespace has."""
    digest = hashlib.sha256(f"clairo\n{namespace}\n{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
