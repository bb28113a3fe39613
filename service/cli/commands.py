"""`clairo-serve`: serve a bundle over HTTP.

An error is one line on standard error, without a traceback. The exit code is 2 for an invalid flag or setting and 1
for any other error. Slow imports wait until a command needs them: `--help` does not load torch.
"""

import asyncio
import gc
import importlib
import os
import signal
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, NoReturn

import typer

from clairo_core.errors import SettingsError
from service.cli import store_commands
from service.cli.workers import Loaded, Report, serve_with_workers
from service.settings import API_KEY_VARIABLE, Settings, load_settings
from service.store.database import location_name
from service.telemetry.logs import set_up_logging

app = typer.Typer(
    name="clairo-serve",
    help="Serve a CLAIRO bundle over HTTP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

BACKLOG = 2048
"""uvicorn's default."""
USAGE_ERROR = 2


def _help(name: str) -> str:
    """A flag's help: the setting's description and default."""
    field = Settings.model_fields[name]
    has_default = not field.is_required() and field.default not in ("", False, None)
    # Rich takes square brackets for markup.
    return f"{field.description}{f' (default: {field.default})' if has_default else ''}"


def _option(name: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(f"--{name.replace('_', '-')}", help=_help(name), show_default=False)
    return option


@app.callback()
def clairo_serve() -> None:
    """Serve a CLAIRO bundle over HTTP."""


@app.command()
def run(
    context: typer.Context,
    bundle: Annotated[str | None, _option("bundle")] = None,
    host: Annotated[str | None, _option("host")] = None,
    port: Annotated[int | None, _option("port")] = None,
    workers: Annotated[int | None, _option("workers")] = None,
    allow_open_network: Annotated[bool | None, _option("allow_open_network")] = None,
    allowed_hosts: Annotated[str | None, _option("allowed_hosts")] = None,
    cors_origins: Annotated[str | None, _option("cors_origins")] = None,
    trusted_proxies: Annotated[str | None, _option("trusted_proxies")] = None,
    root_path: Annotated[str | None, _option("root_path")] = None,
    data_dir: Annotated[Path | None, _option("data_dir")] = None,
    database_url: Annotated[str | None, _option("database_url")] = None,
    namespace: Annotated[str | None, _option("namespace")] = None,
    migrate: Annotated[bool | None, _option("migrate")] = None,
    device: Annotated[str | None, _option("device")] = None,
    num_views: Annotated[int | None, _option("num_views")] = None,
    num_beams: Annotated[int | None, _option("num_beams")] = None,
    bundles_dir: Annotated[str | None, _option("bundles_dir")] = None,
    bundles_cache_dir: Annotated[Path | None, _option("bundles_cache_dir")] = None,
    redis_url: Annotated[str | None, _option("redis_url")] = None,
    keep_alive_seconds: Annotated[int | None, _option("keep_alive_seconds")] = None,
    log_format: Annotated[str | None, _option("log_format")] = None,
) -> None:
    """Serve a bundle until interrupted.

    The playground is at /, the reference at /docs, the API description at /openapi.json. Every option is also an
    environment variable: --data-dir is CLAIRO_DATA_DIR.
    """
    try:
        settings = load_settings(Settings, context.params)
    except SettingsError as error:
        _fail(str(error), USAGE_ERROR)
    set_up_logging(settings.log_format)
    serve(settings)


@app.command()
def doctor(
    context: typer.Context,
    bundle: Annotated[str | None, _option("bundle")] = None,
    bundles_dir: Annotated[str | None, _option("bundles_dir")] = None,
    bundles_cache_dir: Annotated[Path | None, _option("bundles_cache_dir")] = None,
    data_dir: Annotated[Path | None, _option("data_dir")] = None,
    database_url: Annotated[str | None, _option("database_url")] = None,
    namespace: Annotated[str | None, _option("namespace")] = None,
    redis_url: Annotated[str | None, _option("redis_url")] = None,
    device: Annotated[str | None, _option("device")] = None,
) -> None:
    """Check settings, bundle, database, Redis, device and disk. Exit with 1 if anything is broken.

    Reads the flags and CLAIRO_* variables of `clairo-serve run`, prints a next step per problem, and changes nothing.
    """
    try:
        # No check depends on the network.
        settings = load_settings(Settings, {**context.params, "allow_open_network": True})
    except SettingsError as error:
        _fail(str(error), USAGE_ERROR)
    from service.cli.doctor import State, as_table, examine  # noqa: PLC0415 - slow to import

    findings = asyncio.run(examine(settings))
    typer.echo(as_table(findings))
    if any(finding.state is State.BROKEN for finding in findings):
        sys.exit(1)


@app.command()
def mcp(
    url: Annotated[str, typer.Option("--url", help="Address of a running service.")] = "http://127.0.0.1:8000",
) -> None:
    """Offer a running service's calls to an agent as MCP tools, over standard input and output.

    Started by the agent's program. Needs clairo[mcp]. CLAIRO_API_KEY holds a key with scope `read`, if the service
    has keys.
    """
    try:
        from service.cli.mcp_server import serve_tools  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        _fail(f"mcp needs the extra clairo[mcp] ({error}); run pip install 'clairo[serve,mcp]'", exit_code=1)
    asyncio.run(serve_tools(url, os.environ.get(API_KEY_VARIABLE)))


app.add_typer(store_commands.keys)
app.command()(store_commands.export)
app.command("import")(store_commands.import_data)
app.command()(store_commands.migrate)


def serve(settings: Settings) -> None:
    """Listen and serve until a signal arrives; exit with 1 if the service cannot start."""
    # The terminal closed: answer what has begun. Under nohup the signal is ignored, and stays so.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    listening = _listening_socket(settings.host, settings.port)
    address = _address_of(listening)
    typer.echo(f"CLAIRO loads {settings.bundle}. Items are stored in {location_name(settings.store_location)}.")

    def report(line: str) -> None:
        typer.echo(line)
        typer.echo(f"Playground: {address}/")

    try:
        if settings.workers == 1:
            failure = _server().serve_alone(settings, listening, report)
        else:
            failure = serve_with_workers(settings, listening, serve_in_worker, load_for_workers, report)
            # The process ends: a last collection would look through the bundle and all libraries, for seconds.
            gc.freeze()
    except KeyboardInterrupt:
        failure = None
        typer.echo("CLAIRO has stopped.")
    if failure is not None:
        _fail(failure, exit_code=1)


def load_for_workers(settings: Settings) -> Loaded:
    """Load what forked workers share."""
    # The module imports all that a worker needs, so workers share that too.
    return _server().preload(settings)


def serve_in_worker(
    settings: Settings,
    listening: socket.socket,
    report: Report,
    shared_folder: Path,
    is_replacement: bool,
    loaded: Loaded,
) -> None:
    """Serve in one of several worker processes."""
    failure = _server().serve_alone(
        settings, listening, report, shared_folder, is_replacement=is_replacement, preloaded=loaded
    )
    if failure is not None:
        report(f"!{failure}")


def _server() -> ModuleType:
    """Import the server and torch, which is slow; the collector never looks through it all, now or later."""
    gc.disable()
    try:
        return importlib.import_module("service.cli.server")
    finally:
        gc.freeze()
        gc.enable()


def main() -> None:
    """The console script."""
    app()


def _listening_socket(host: str, port: int) -> socket.socket:
    """Bind here: uvicorn would report a port in use with a log line and an exit code of its own."""
    listening: socket.socket | None = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio disables Nagle's delay only on sockets that name TCP: 40 ms per answer on a kept connection.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        # Now: another process may bind the port as well until one of them listens.
        listening.listen(BACKLOG)
    except OSError as error:
        if listening is not None:
            listening.close()
        _fail(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port or --host", exit_code=1)
    return listening


def _address_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _fail(reason: str, exit_code: int) -> NoReturn:
    typer.echo(f"clairo-serve: {reason}", err=True)
    sys.exit(exit_code)
