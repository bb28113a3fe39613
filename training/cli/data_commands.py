"""The commands on a dataset alone: `demo-data`, `init`, `check`, `fetch-pictures` and `events`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from clairo_core.errors import SettingsError
from training.cli.messages import report
from training.cli.options import LARGEST_SEED


def demo_data(
    out: Annotated[Path, typer.Option("--out", help="New or empty folder for the dataset.")],
    items: Annotated[int, typer.Option(min=50, max=20_000, help="Number of products.")] = 1000,
    users: Annotated[int, typer.Option(min=50, max=1_000_000, help="Number of shoppers.")] = 3000,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the whole shop.")] = 0,
) -> None:
    """Write the demo shop: products with pictures and texts, and shoppers' purchase histories."""
    from training.demo_shop import write_demo_shop  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    if out.exists() and any(out.iterdir()):
        raise SettingsError(f"--out {out} is not empty; name a new folder, or empty it")
    write_demo_shop(out, num_items=items, num_users=users, seed=seed, progress=progress_bar)
    report(f"wrote {items} products and {users} shoppers to {out}")
    report(f"next: clairo-train run --data {out} --out bundles/demo")


def init(
    files: Annotated[list[str], typer.Argument(help="A file of items, and one or more of interactions.")],
    out: Annotated[Path, typer.Option("--out", help="The new description.")] = Path("dataset.toml"),
) -> None:
    """Guess what the columns of your files mean, and write a dataset.toml to edit."""
    from training.datasets.init import write_description  # noqa: PLC0415

    written = write_description(files, out)
    for line in written.recognized:
        report(line)
    report(f"wrote {written.path}{'; to fill in: ' + ', '.join(written.to_fill_in) if written.to_fill_in else ''}")
    report(f"next: edit it, then clairo-train check {written.path}")


def check(
    data: Annotated[Path, typer.Argument(help="Dataset folder or TOML; see docs/datasets.md.")],
    pictures: Annotated[bool, typer.Option("--pictures", help="Decode every picture, not a sample.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the result to this file.")] = None,
) -> None:
    """Find every fault of a dataset, with facts and advice. Faults exit with code 2."""
    from training.datasets.check import check_dataset  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    found = check_dataset(data, decode_all=pictures, progress=progress_bar)
    typer.echo(str(found))
    if json_file is not None:
        json_file.write_text(json.dumps(found.as_dict(), indent=1), encoding="utf-8")
    if len(found.faults):
        raise typer.Exit(2)
    report(f"no faults; next: clairo-train run --data {data} --out bundles/NAME")


def fetch_pictures(
    data: Annotated[Path, typer.Argument(help="Dataset folder or TOML; see docs/datasets.md.")],
    hosts: Annotated[
        list[str] | None, typer.Option("--host", help="Host to fetch from; repeatable. Default: list hosts.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Allow hosts inside a private network.")] = False,
) -> None:
    """Fetch pictures given by url into a folder beside the data. Interrupted runs resume."""
    from clairo_core.values.public_addresses import is_public  # noqa: PLC0415
    from training.datasets.fetch_pictures import PictureUrls  # noqa: PLC0415
    from training.datasets.fetch_pictures import fetch_pictures as fetch  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    urls = PictureUrls(data, progress_bar)
    if not hosts:
        typer.echo(urls.table())
        report(f"nothing is fetched yet; next: clairo-train fetch-pictures {data} --host HOST, once per host")
        return
    may_connect_to = (lambda _: True) if private else is_public
    typer.echo(str(fetch(urls, hosts, may_connect_to=may_connect_to, progress=progress_bar)))


def events(
    data: Annotated[Path, typer.Argument(help="Dataset folder or TOML; see docs/datasets.md.")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
) -> None:
    """Write a dataset's events as one table, unfiltered; `clairo-serve import` runs this."""
    from clairo_core.values.counted import counted  # noqa: PLC0415
    from training.datasets import describe_dataset  # noqa: PLC0415
    from training.datasets.event_rows import write_events  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    typer.echo(counted(write_events(describe_dataset(data), out, progress_bar), "event"))
