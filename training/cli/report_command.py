"""The command on one bundle's page: `report`."""

from pathlib import Path
from typing import Annotated

import typer

from clairo_core.errors import SettingsError, missing_extra
from training.cli.messages import report as print_message
from training.cli.options import BundleArgument


def report(
    bundle: BundleArgument,
    data: Annotated[
        Path | None, typer.Option("--data", help="Dataset of the bundle: counts tokens in histories.")
    ] = None,
) -> None:
    """Write a page about a bundle into its folder: quality, map of the catalogue, codes, new items.

    Its charts are written as PDF and CSV, too. A running service shows the page at
    /bundles/BUNDLE_ID/report to keys of scope admin. Needs the packages of the extra "report".
    """
    from clairo_core.bundle.manifest import read_manifest  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    # umap takes seconds to import: check the folder first.
    read_manifest(bundle)
    try:
        from training.report.write_report import write_report  # noqa: PLC0415
    except ModuleNotFoundError as error:
        reason = missing_extra("clairo-train report", "report", error)
        if reason is None:
            raise
        raise SettingsError(reason) from error
    page = write_report(bundle, data, progress_bar, print_message)
    print_message(f"wrote {page}, and {page.parent / 'charts'} with PDF and CSV")
