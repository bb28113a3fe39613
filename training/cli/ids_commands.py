"""`clairo-train ids`: make, import and export semantic ids."""

from pathlib import Path
from typing import Annotated

import typer

from training.cli.messages import report
from training.ids.layouts import Layout

app = typer.Typer(help="Make, judge, import and export semantic ids.", no_args_is_help=True)

IdsArgument = Annotated[Path, typer.Argument(help="File of ids make or ids import.")]
OutOption = Annotated[Path, typer.Option("--out", help="Parquet file to write; replaces an earlier one.")]


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
    ids = import_ids(file, item_id=item_id, columns=names, codebook_size=codebook_size, is_numbered=numbered)
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
