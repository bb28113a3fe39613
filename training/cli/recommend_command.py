"""The command on the users of a shop: `recommend`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from clairo_core.errors import SettingsError
from training.cli.messages import report
from training.cli.options import SERVICE, AddressOption, DeviceOption, EngineName, EngineOption, WorkersOption


def recommend(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE_OR_SERVICE", help="Folder of the bundle, or URL of a running service.")
    ],
    out: Annotated[Path, typer.Option("--out", help="File to write: .parquet or .csv; replaces an earlier one.")],
    users: Annotated[
        Path | None, typer.Option("--users", help="With a bundle: dataset folder or TOML, or service.")
    ] = None,
    placement: Annotated[
        str | None, typer.Option("--placement", help="With a service's URL: placement whose rules apply.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Items per user; a service answers up to 100.")] = 20,
    device: DeviceOption = "auto",
    service_database: Annotated[
        str | None, typer.Option(help="Database URL of the service; default: CLAIRO_DATABASE_URL.")
    ] = None,
    engine: EngineOption = EngineName.PROCESS,
    address: AddressOption = None,
    workers: WorkersOption = None,
) -> None:
    """Recommend to all users at once, into one file, such as for a newsletter. Interrupted runs resume.

    A running service is asked for its own users, under its placements; CLAIRO_API_KEY holds a key with
    scope read, if it has keys. A bundle recommends without placements: with --users service to the users
    in the service's store, and BUNDLE is the serving one. See docs/serving.md, Newsletter.
    With --engine ray, workers of a cluster hold the bundle, and this process writes; see docs/scaling.md.
    """
    from training.recommending.ask_service import ask_service, is_address  # noqa: PLC0415

    if is_address(bundle):
        from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

        given: dict[str, object] = {
            "--users": users,
            "--service-database": service_database,
            "--device": device != "auto" or None,
        }
        given |= {"--engine": engine != EngineName.PROCESS or None, "--address": address, "--workers": workers}
        unread = ", ".join(flag for flag, value in given.items() if value is not None)
        if unread:
            raise SettingsError(f"{bundle} recommends to its own users; leave out {unread}, or name a bundle's folder")
        key = os.environ.get("CLAIRO_API_KEY")
        typer.echo(ask_service(bundle, placement, out, limit, api_key=key, progress=progress_bar, report=report))
        return
    if placement is not None:
        raise SettingsError(
            f"--placement {placement}: placements are the service's, and {bundle} is a bundle; name the URL of the "
            "running service in its place, such as http://127.0.0.1:8000"
        )
    if users is None:
        raise SettingsError(f"{bundle} is a bundle and --users is missing; name a data set, or service")
    if service_database is not None and users != SERVICE:
        raise SettingsError(f"--users is {users}, but --service-database only goes with --users service")
    from training.engines.open_engine import opened_engine  # noqa: PLC0415
    from training.recommending.recommend_users import recommend_users  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    source = None if users == SERVICE else users
    with opened_engine(engine, address=address, workers=workers, device=device, folder=out.parent) as opened:
        # Nothing is trained: other processes of torchrun have no part in it.
        if opened is not None:
            typer.echo(
                recommend_users(
                    Path(bundle),
                    source,
                    out,
                    limit,
                    database=service_database,
                    device=device,
                    engine=opened,
                    progress=progress_bar,
                    report=report,
                )
            )
