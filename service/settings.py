"""Turn environment variables and command-line flags into one frozen `Settings`.

The only reader of the environment: every setting is `CLAIRO_` and its name in capitals, and an unknown
`CLAIRO_*` name is an error, because a misspelt setting that is silently ignored is found out in production.
Knows nothing of HTTP, stores or bundles' contents.
"""

import difflib
import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio.connection import parse_url

from clairo_core.errors import SettingsError

ENVIRONMENT_PREFIX = "CLAIRO_"


class Settings(BaseSettings):
    """Everything about the service that an operator can choose; the defaults serve one machine."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="forbid")

    bundle: Path = Field(description="The bundle to serve: a folder that `clairo-train run` wrote.")
    host: str = Field(default="127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="The port; 0 takes a free one.")
    allow_open_network: bool = Field(
        default=False, description="Listen on an address other machines can reach, though no keys are set."
    )
    data_dir: Path = Field(
        default=Path("clairo-data"),
        description="Where posted items are kept unless database_url says otherwise.",
    )
    database_url: str = Field(
        default="", description="sqlite:///PATH or sqlite:///:memory:; empty for clairo.db in data_dir."
    )
    namespace: str = Field(
        default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Whose items these are."
    )
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$", description="Where the generator runs."
    )
    num_views: int = Field(default=5, ge=1, le=64, description="Random views of a history, fused.")
    num_beams: int = Field(default=50, ge=1, le=1000, description="Beams a view keeps.")
    max_batch_size: int = Field(default=16, ge=1, le=1024, description="Histories generated for at once.")
    batch_wait_seconds: float = Field(
        default=0.003, ge=0, le=1, description="How long a batch waits for company before it starts."
    )
    max_queue_depth: int = Field(
        default=256, ge=1, description="Requests that may wait for the model; one more is answered 429."
    )
    request_deadline_seconds: float = Field(
        default=30.0, gt=0, description="A recommendation that takes longer is answered 504."
    )
    cache_max_entries: int = Field(default=10_000, ge=0, description="Answers kept in memory; 0 keeps none.")
    cache_max_mib: int = Field(default=64, ge=1, description="Memory that answers kept there may take.")
    cache_ttl_seconds: float = Field(default=3600.0, gt=0, le=604_800, description="An answer older is forgotten.")
    redis_url: str = Field(
        default="",
        description="redis://[:PASSWORD@]HOST:PORT/DB, to share answers among processes; empty keeps them in memory.",
    )

    log_format: str = Field(
        default="text", pattern=r"^(text|json)$", description="Log lines as text for people or as JSON for machines."
    )

    @field_validator("database_url")
    @classmethod
    def _database_url_names_sqlite(cls, url: str) -> str:
        if url and not url.startswith(("sqlite:///", "sqlite+aiosqlite:///")):
            scheme = url.split(":", 1)[0]
            raise ValueError(f"this version stores items in SQLite only: expected sqlite:///PATH, got {scheme}:...")
        return url

    @field_validator("redis_url")
    @classmethod
    def _redis_url_can_be_parsed(cls, url: str) -> str:
        if url:
            try:
                parse_url(url)
            except ValueError as error:
                # Without the url: it may hold a password.
                raise ValueError("expected redis://HOST:PORT/DB, rediss://... or unix://PATH") from error
        return url

    @model_validator(mode="after")
    def _open_only_on_loopback(self) -> Self:
        if not self.allow_open_network and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines and the service has no keys: anyone could "
                "post items; keep 127.0.0.1, put a proxy with authentication in front, or say --allow-open-network"
            )
        return self

    @property
    def database_path(self) -> Path | None:
        """The SQLite file; None for a database in memory."""
        if not self.database_url:
            return self.data_dir / "clairo.db"
        path = self.database_url.split(":///", 1)[1]
        return None if path in ("", ":memory:") else Path(path)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings: flags that are not None first, then the environment, then the defaults.

    Raises:
        SettingsError: an unknown CLAIRO_* name (the nearest known one is named), a wrong type, out of range.
    """
    check_environment_names(environment)
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("; ".join(_readable(problem) for problem in error.errors())) from error


def check_environment_names(environment: Mapping[str, str]) -> None:
    """Refuse every CLAIRO_* name that is no setting.

    Raises:
        SettingsError: naming the nearest setting there is.
    """
    known = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(environment):
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            raise SettingsError(f"environment variable {name} is no setting of CLAIRO; did you mean {nearest[0]}?")


def _readable(problem: Any) -> str:
    """One of pydantic's errors as "flag or variable: what is wrong, what was got"."""
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return str(message)
    name = str(problem["loc"][0])
    flag = f"--{name.replace('_', '-')} ({ENVIRONMENT_PREFIX}{name.upper()})"
    if problem["type"] == "missing":
        return f"{flag} is missing; {Settings.model_fields[name].description}"
    # Our own checks say themselves what they got: a database url may hold a password.
    return f"{flag}: {message}" if problem["type"] == "value_error" else f"{flag}: {message}, got {problem['input']!r}"
