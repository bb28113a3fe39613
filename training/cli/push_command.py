"""Put bundles into object storage: the command `push`, and the option `--push` of `run`."""

from pathlib import Path
from typing import Annotated

import typer

from clairo_core.errors import SettingsError
from clairo_core.storage.storage_address import EXPECTED, StorageAddress, place_of
from training.cli.messages import report
from training.cli.options import BundleArgument


def push(
    bundle: BundleArgument,
    address: Annotated[str, typer.Argument(help="Folder of bundles: s3://BUCKET/PREFIX.")],
) -> None:
    """Copy a bundle to object storage, under its folder's name, for a service with that --bundles-dir.

    Its manifest is written last: services list no half bundle. Repeat an interrupted push. Credentials come from the
    environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY). Needs the package pyarrow.
    """
    push_to(storage_address(address, "address"), bundle)


def storage_address(text: str, name: str) -> StorageAddress:
    """Parse an address in object storage.

    Raises:
        SettingsError: it is none; `name` names the argument.
    """
    try:
        place = place_of(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None
    if isinstance(place, Path):
        raise SettingsError(f"{name}: got the path {place}, expected {EXPECTED}")
    return place


def checked_push(text: str | None, out: Path) -> StorageAddress | None:
    """Parse `--push`, and check before a training that the bundle can be put there; None without it.

    Raises:
        SettingsError: it is no address, or a bundle of this name is there already.
        BundleStorageError: the storage does not answer or refuses.
    """
    if text is None:
        return None
    from clairo_core.bundle.manifest import BundleManifest  # noqa: PLC0415
    from clairo_core.bundle.remote_bundles import RemoteBundles  # noqa: PLC0415

    address = storage_address(text, "--push")
    there = RemoteBundles(address, out.parent).manifest(out.name)
    if isinstance(there, BundleManifest):
        raise SettingsError(f"--push: {address / out.name} holds a bundle already; name another --out")
    return address


def push_to(address: StorageAddress | None, bundle: Path) -> None:
    """Push where there is an address, and report the next step."""
    if address is None:
        report(f"next: clairo-serve run --bundle {bundle}")
        return
    from clairo_core.bundle.remote_bundles import push_bundle  # noqa: PLC0415

    bundle_id = push_bundle(bundle, address).bundle_id
    report(f"pushed {bundle} to {address}")
    report(f"next: POST /bundles/{bundle_id}/activate")
