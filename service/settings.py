"""Turn environment variables and command-line flags into one frozen `Settings`.

The only reader of the environment. Every setting is also a variable, `CLAIRO_` and its name in capitals. An unknown
`CLAIRO_*` name is an error: a misspelt setting, silently ignored, would surface in production.
"""

import difflib
import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BeforeValidator, Field, InstanceOf, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from clairo_core.errors import SettingsError
from clairo_core.storage.storage_address import StorageAddress, place_of
from service.origins import parsed_origin
from service.picture_urls.hosts import parsed_hosts

ENVIRONMENT_PREFIX = "CLAIRO_"
Chosen = TypeVar("Chosen", bound=BaseSettings)
HOST_AND_PORT = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
BundlePlace = Annotated[
    InstanceOf[Path] | InstanceOf[StorageAddress],
    BeforeValidator(lambda place: place_of(place) if isinstance(place, str) else place),
]
"""A folder, or an address in object storage."""
POSTGRES_SCHEMES = ("postgresql+psycopg", "postgresql", "postgres")


class StoreSettings(BaseSettings):
    """The settings of `migrate`, `keys` and `export`: the store and the namespace in it."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(
        default=Path("clairo-data"),
        description="Folder of clairo.db, unless database_url is set.",
    )
    database_url: str = Field(
        default="",
        description="sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, instead of data_dir.",
    )
    namespace: str = Field(
        default="default",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
        description="Name of the shop, if several share a database.",
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
    """All settings of the service. The defaults suit one machine."""

    bundle: BundlePlace = Field(description="Bundle to serve: a folder, or s3://BUCKET/PREFIX/NAME.")
    bundles_dir: BundlePlace | None = Field(
        default=None, description="Folder of bundles to activate, or s3://BUCKET/PREFIX."
    )
    bundles_cache_dir: Path | None = Field(
        default=None, description="Folder of copies from s3://; default: bundles in data_dir."
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    workers: int = Field(default=1, ge=1, le=64, description="Number of worker processes; each loads the bundle.")
    allow_open_network: bool = Field(default=False, description="Answer other machines even while there is no API key.")
    allowed_hosts: str = Field(
        default="",
        description="Names by which clients call the service, comma-separated: HOST or HOST:PORT.",
    )
    cors_origins: str = Field(
        default="",
        description="Pages that may call the service from a browser, comma-separated: https://shop.example.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses or networks of proxies whose X-Forwarded-For counts for rates of public keys.",
    )
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path prefix of the service behind a proxy, such as /recommender.",
    )
    keep_alive_seconds: int = Field(
        default=75, ge=1, le=3600, description="Time an idle connection stays open; more than a proxy's in front of it."
    )
    migrate: bool = Field(default=False, description="Migrate a PostgreSQL schema at start; SQLite always migrates.")
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        description="Device of the generator: auto, cpu, cuda, cuda:N or mps.",
    )
    dtype: str = Field(
        default="float32",
        pattern=r"^(float32|bfloat16)$",
        description="Number format of the generator; bfloat16 needs hardware support and changes a few ranks.",
    )
    cuda_graphs: bool = Field(
        default=True, description="On a CUDA GPU, record the search as CUDA graphs and replay it."
    )
    num_views: int | None = Field(
        default=None, ge=1, le=64, description="Random views per history, instead of the bundle's for each quality."
    )
    num_beams: int | None = Field(
        default=None, ge=1, le=1000, description="Beams per view, instead of the bundle's for each quality."
    )
    max_batch_size: int = Field(default=16, ge=1, le=1024, description="Most histories per batch.")
    batch_wait_seconds: float = Field(
        default=0.003, ge=0, le=1, description="Time a batch waits for more requests before it starts."
    )
    max_queue_depth: int = Field(
        default=256, ge=1, description="Requests that may wait for the model; further ones get 429."
    )
    request_deadline_seconds: float = Field(
        default=30.0, gt=0, description="Longest time for a recommendation; later ones get 504."
    )
    experiment: str = Field(
        default="",
        description="A/B test, NAME:SHARE:BUNDLE_ID: serve another bundle to this share of users.",
    )
    exploration_temperature: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Sample recommendations with probability to the power of 1/temperature; 0 is deterministic.",
    )
    tired_after_impressions: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Leave out items shown this often without effect; 0: none.",
    )
    live_counts_seconds: float = Field(
        default=2.0,
        ge=0,
        le=86_400,
        description="How often new feedback changes the counts behind recommendations; 0: with trainings alone.",
    )
    cache_max_entries: int = Field(
        default=10_000, ge=0, description="Most answers cached in memory; 0 disables the cache."
    )
    cache_max_mib: int = Field(default=64, ge=1, description="Memory limit of the cache in memory.")
    cache_ttl_seconds: float = Field(default=3600.0, gt=0, le=604_800, description="Lifetime of a cached answer.")
    redis_url: str = Field(
        default="",
        description="redis://[:PASSWORD@]HOST:PORT/DB: a cache that processes share; empty: none.",
    )

    picture_url_hosts: str = Field(
        default="",
        description="Hosts to fetch picture_url from, comma-separated: HOST (https only) or http://HOST (both).",
    )
    database_wait_seconds: float = Field(
        default=0.0, ge=0, le=600, description="Time to wait at start for a database that is not up yet."
    )
    log_format: str = Field(
        default="text", pattern=r"^(text|json)$", description="Log format: text for people, json for machines."
    )

    @field_validator("bundle")
    @classmethod
    def _bundle_has_a_name(cls, bundle: Path | StorageAddress) -> Path | StorageAddress:
        if isinstance(bundle, StorageAddress) and not bundle.name:
            raise ValueError(f"got {bundle}, expected the bundle's own folder, such as {bundle / 'spring'}")
        return bundle

    @property
    def bundle_copies(self) -> Path:
        """Folder of copies of bundles in object storage."""
        return self.bundles_cache_dir or self.data_dir / "bundles"

    @field_validator("redis_url")
    @classmethod
    def _redis_url_can_be_parsed(cls, url: str) -> str:
        if url:
            # Slow to import.
            from redis.asyncio.connection import parse_url  # noqa: PLC0415

            try:
                parse_url(url)
            except ValueError as error:
                # Without the url, which may hold a password.
                raise ValueError("expected redis://HOST:PORT/DB, rediss://... or unix://PATH") from error
        return url

    @field_validator("allowed_hosts")
    @classmethod
    def _allowed_hosts_can_be_parsed(cls, hosts: str) -> str:
        for host in _entries(hosts):
            if not HOST_AND_PORT.fullmatch(host):
                raise ValueError(f"expected HOST or HOST:PORT, separated by commas, without http://, got {host!r}")
        return hosts

    @property
    def allowed_host_names(self) -> frozenset[str]:
        """The entries of `allowed_hosts`."""
        return frozenset(_entries(self.allowed_hosts))

    @field_validator("cors_origins")
    @classmethod
    def _cors_origins_can_be_parsed(cls, origins: str) -> str:
        for origin in _entries(origins):
            parsed_origin(origin)
        return origins

    @property
    def cors_origin_names(self) -> frozenset[str]:
        """The entries of `cors_origins`, as browsers send them."""
        return frozenset(parsed_origin(origin) for origin in _entries(self.cors_origins))

    @field_validator("trusted_proxies")
    @classmethod
    def _trusted_proxies_can_be_parsed(cls, proxies: str) -> str:
        for proxy in _entries(proxies):
            try:
                ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"got {proxy!r}, expected an address or a network such as 10.0.0.0/8") from error
        return proxies

    @property
    def trusted_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The entries of `trusted_proxies`."""
        return tuple(ip_network(proxy) for proxy in _entries(self.trusted_proxies))

    @field_validator("picture_url_hosts")
    @classmethod
    def _picture_url_hosts_can_be_parsed(cls, hosts: str) -> str:
        parsed_hosts(hosts)
        return hosts

    @model_validator(mode="after")
    def _workers_share_a_store(self) -> Self:
        if self.workers > 1 and self.store_location is None:
            raise ValueError(
                "workers > 1 need a store they share, got sqlite:///:memory:; set database_url to a file or PostgreSQL"
            )
        return self


def _entries(text: str) -> list[str]:
    return [entry for part in text.split(",") if (entry := part.strip().lower())]


def load_settings(kind: type[Chosen], flags: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Chosen:
    """Load the settings: flags that are not None first, then the environment, then the defaults.

    Raises:
        SettingsError: an unknown CLAIRO_* name (the text has the nearest known one), a wrong type, or out of range.
    """
    check_environment_names(environment)
    try:
        return kind(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("; ".join(_readable(problem) for problem in error.errors())) from error


API_KEY_VARIABLE = "CLAIRO_API_KEY"
"""Of `clairo-serve mcp`."""
READ_ELSEWHERE = {"CLAIRO_DATA_URL", API_KEY_VARIABLE}
"""No settings of the service. The readers that `clairo-serve import` runs take the first."""


def check_environment_names(environment: Mapping[str, str]) -> None:
    """Refuse CLAIRO_* names that are not settings.

    Raises:
        SettingsError: the text has the nearest setting.
    """
    known = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields} | READ_ELSEWHERE
    for name in sorted(environment):
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            raise SettingsError(f"environment variable {name} is not a setting; did you mean {nearest[0]}?")


def _readable(problem: Any) -> str:
    """An error of pydantic as "flag (variable): problem, got value"."""
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return str(message)
    name = str(problem["loc"][0])
    flag = f"--{name.replace('_', '-')} ({ENVIRONMENT_PREFIX}{name.upper()})"
    if problem["type"] == "missing":
        return f"{flag} is missing. {Settings.model_fields[name].description}"
    # Our own checks name the value themselves, or leave it out: a database url may hold a password.
    return f"{flag}: {message}" if problem["type"] == "value_error" else f"{flag}: {message}, got {problem['input']!r}"
