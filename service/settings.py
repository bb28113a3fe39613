"""Turn environment variables and command-line flags into one frozen `Settings`.

The only reader of the environment: every setting is `CLAIRO_` and its name in capitals, and an unknown
`CLAIRO_*` name is an error, because a misspelt setting that is silently ignored is found out in production.
Knows nothing of HTTP, stores or bundles' contents.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.asyncio.connection import parse_url

from clairo_core.errors import SettingsError
from service.picture_urls.hosts import parsed_hosts

ENVIRONMENT_PREFIX = "CLAIRO_"
Chosen = TypeVar("Chosen", bound=BaseSettings)
POSTGRES_SCHEMES = ("postgresql+psycopg", "postgresql", "postgres")


class StoreSettings(BaseSettings):
    """Which store, and whose: what `migrate`, `keys` and `export` need to know as well."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(
        default=Path("clairo-data"),
        description="Where posted items are kept unless database_url says otherwise.",
    )
    database_url: str = Field(
        default="",
        description="sqlite:///PATH, sqlite:///:memory: or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE; "
        "empty for clairo.db in data_dir.",
    )
    namespace: str = Field(
        default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Whose items these are."
    )

    @field_validator("database_url")
    @classmethod
    def _database_url_is_of_a_known_kind(cls, url: str) -> str:
        scheme = url.split(":", 1)[0]
        if url and not url.startswith(("sqlite:///", "sqlite+aiosqlite:///")) and scheme not in POSTGRES_SCHEMES:
            raise ValueError(f"expected sqlite:///PATH or postgresql+psycopg://..., got {scheme}:...")
        return url

    @property
    def store_location(self) -> Path | str | None:
        """A SQLite file, a PostgreSQL url, or None for a database in memory."""
        if not self.database_url:
            return self.data_dir / "clairo.db"
        if not self.database_url.startswith("sqlite"):
            return self.database_url
        path = self.database_url.split(":///", 1)[1]
        return None if path in ("", ":memory:") else Path(path)


class Settings(StoreSettings):
    """Everything about the service that an operator can choose; the defaults serve one machine."""

    bundle: Path = Field(description="The bundle to serve: a folder that `clairo-train run` wrote.")
    bundles_dir: Path | None = Field(
        default=None, description="A folder of bundles that can be activated while the service runs."
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="The port; 0 takes a free one.")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that serve the port; each loads the bundle.")
    allow_open_network: bool = Field(
        default=False, description="Answer clients on other machines even before an API key has been made."
    )
    migrate: bool = Field(
        default=False, description="Bring a PostgreSQL schema up to date at start; SQLite's always is."
    )
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$", description="Where the generator runs."
    )
    dtype: str = Field(
        default="float32",
        pattern=r"^(float32|bfloat16)$",
        description="Numbers of the generator; bfloat16 is for hardware that has it, and changes a few places.",
    )
    cuda_graphs: bool = Field(
        default=True, description="On a CUDA GPU, record the search once and repeat it as a whole."
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
    experiment: str = Field(
        default="",
        description="NAME:SHARE:BUNDLE_ID answers this share of users with another bundle beside the one served.",
    )
    exploration_temperature: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Draw recommendations by their probability to the power of 1 / this; 0 draws nothing by chance.",
    )
    cache_max_entries: int = Field(default=10_000, ge=0, description="Answers kept in memory; 0 keeps none.")
    cache_max_mib: int = Field(default=64, ge=1, description="Memory that answers kept there may take.")
    cache_ttl_seconds: float = Field(default=3600.0, gt=0, le=604_800, description="An answer older is forgotten.")
    redis_url: str = Field(
        default="",
        description="redis://[:PASSWORD@]HOST:PORT/DB, to share answers among processes; empty keeps them in memory.",
    )

    picture_url_hosts: str = Field(
        default="",
        description="Hosts, separated by commas, that pictures are fetched from by url, over https; http://HOST "
        "allows both; empty fetches none.",
    )
    database_wait_seconds: float = Field(
        default=0.0, ge=0, le=600, description="How long to wait at the start for a database that is not up yet."
    )
    log_format: str = Field(
        default="text", pattern=r"^(text|json)$", description="Log lines as text for people or as JSON for machines."
    )

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

    @field_validator("picture_url_hosts")
    @classmethod
    def _picture_url_hosts_can_be_parsed(cls, hosts: str) -> str:
        parsed_hosts(hosts)
        return hosts

    @model_validator(mode="after")
    def _workers_share_a_store(self) -> Self:
        if self.workers > 1 and self.store_location is None:
            raise ValueError("several workers need a store that they share; sqlite:///:memory: is each worker's own")
        return self


def load_settings(flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings: flags that are not None first, then the environment, then the defaults.

    Raises:
        SettingsError: an unknown CLAIRO_* name (the nearest known one is named), a wrong type, out of range.
    """
    return _loaded(Settings, flags, environment)


def load_store_settings(flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> StoreSettings:
    """The settings of the store alone, as `load_settings` gives them.

    Raises:
        SettingsError: as of `load_settings`.
    """
    return _loaded(StoreSettings, flags, environment)


def _loaded(kind: type[Chosen], flags: Mapping[str, Any], environment: Mapping[str, str]) -> Chosen:
    check_environment_names(environment)
    try:
        return kind(**{name: value for name, value in flags.items() if value is not None})
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
