"""`clairo-train ids`: make, import and export semantic ids."""

from pathlib import Path
from typing import Annotated

import typer

from training.cli.messages import report
from training.cli.options import LARGEST_SEED
from training.ids.layouts import Layout

app = typer.Typer(help="Make, judge, import and export semantic ids.", no_args_is_help=True)

IdsArgument = Annotated[Path, typer.Argument(help="File of ids make or ids import.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
OutOption = Annotated[Path, typer.Option("--out", help="Parquet file to write; replaces an earlier one.")]


@app.command()
def make(
    data: Annotated[Path, typer.Argument(help="Dataset folder or TOML; see docs/datasets.md.")],
    out: OutOption,
    preset: Annotated[str | None, typer.Option(help="Preset name or TOML file.", show_default="clairo")] = None,
    quantizer: Annotated[
        str | None, typer.Option(help="Short for --set quantize.kind=...", show_default="the preset's")
    ] = None,
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of all random choices.")] = 0,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting of the preset; repeatable.")
    ] = None,
) -> None:
    """Make semantic ids from a dataset's items, as a run of the preset would. See docs/ids.md."""
    from training.config.load_preset import DEFAULT_PRESET  # noqa: PLC0415
    from training.ids.make_ids import make_ids  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    ids = make_ids(data, out, preset or DEFAULT_PRESET, quantizer, overrides or [], seed, device, progress_bar, report)
    typer.echo(ids.in_words())
    report(f"wrote {out}; to train on it, in dataset.toml:\n\n{ids.toml(out)}\n")
    report(f"next: clairo-train ids report {out} --data {data} --out {out.with_suffix('')}-report")


@app.command("report")
def report_(
    ids: IdsArgument,
    data: Annotated[Path, typer.Option("--data", help="Dataset folder or TOML with the items of the ids.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for report.html and report.json.")],
    device: DeviceOption = "auto",
) -> None:
    """Judge ids without training: collisions, use of codes, likeness of items that share codes."""
    from training.ids.judge_ids import judge_ids  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    typer.echo(judge_ids(ids, data, out, device, progress_bar, report))
    report(f"wrote {out / 'report.html'} and report.json")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Index JSON, tensor of GRID (.pt), or table.")],
    out: OutOption,
    columns: Annotated[str, typer.Option(help="Of a table: columns or prefixes of codes.")] = "",
    item_id: Annotated[str, typer.Option(help="Of a table: column of item ids.")] = "item_id",
    codebook_size: Annotated[int, typer.Option(min=0, help="Codes per codebook; 0 takes the largest plus one.")] = 0,
    numbered: Annotated[
        bool, typer.Option("--numbered", help="Last code numbers items that share the others.")
    ] = False,
) -> None:
    """Take published ids: the index JSON of LC-Rec, LETTER and MiniOneRec, GRID's tensor, or a table.

    See docs/ids.md.
    """
    from training.ids.import_ids import import_ids  # noqa: PLC0415
    from training.ids.item_ids import check_parquet  # noqa: PLC0415

    check_parquet(out)
    names = tuple(name.strip() for name in columns.split(",") if name.strip())
    ids = import_ids(
        file, item_id=item_id, columns=names, codebook_size=codebook_size, is_numbered=numbered, report=report
    )
    ids.save(out)
    typer.echo(ids.in_words())
    report(f"wrote {out}; to train on it, in dataset.toml:\n\n{ids.toml(out)}\n")


@app.command()
def export(
    ids: IdsArgument,
    layout: Annotated[Layout, typer.Option(help="Code that will read the ids.")],
    out: Annotated[Path, typer.Option("--out", help="File to write: .json, or .pt for grid.")],
) -> None:
    """Write ids as LC-Rec, MiniOneRec or GRID read them. See docs/ids.md."""
    from training.ids.export_ids import export_ids  # noqa: PLC0415
    from training.ids.item_ids import load_ids  # noqa: PLC0415

    loaded = load_ids(ids)
    needed = export_ids(loaded, layout, out)
    typer.echo(loaded.in_words())
    report(f"wrote {out}; {needed}")
