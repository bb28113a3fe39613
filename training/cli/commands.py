"""The `clairo-train` command: training, evaluation, comparison and vocabulary reports.

`recommend`, `report` and the commands on a data set alone are in modules of their own.

Each command parses flags and calls one function of `training`. Expected errors are printed on one line and exit with
code 2.
"""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clairo_core.errors import SettingsError
from training.cli import data_commands, ids_commands
from training.cli.messages import report, run_command
from training.cli.options import (
    LARGEST_SEED,
    MEASURED_USERS,
    SERVICE,
    AddressOption,
    BundleArgument,
    DataOption,
    DeviceOption,
    EngineName,
    EngineOption,
    Split,
    SplitOption,
    UsersOption,
    WorkersOption,
)
from training.cli.push_command import checked_push, push, push_to
from training.cli.recommend_command import recommend
from training.cli.report_command import report as report_of_bundle

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from training.engines.engine import Engine
    from training.retraining.retrain import Retrained

# Waiting threads must sleep, not spin: with one of two cores busy, spinning slowed training 20-fold. OpenMP reads this
# when torch is loaded, which happens inside the commands below.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if not sys.stderr.isatty():
    # transformers draws bars of its own; see `training.workbench.progress_bar`.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

app = typer.Typer(
    name="clairo-train",
    help="Train, evaluate and compare recommenders from tables of items and interactions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo-data")(data_commands.demo_data)
app.command()(data_commands.init)
app.command()(data_commands.check)
app.command("fetch-pictures")(data_commands.fetch_pictures)
app.command(hidden=True)(data_commands.events)
app.command()(recommend)
app.command("report")(report_of_bundle)
app.command()(push)
app.add_typer(ids_commands.app, name="ids")

SERVICE_PANEL = "With --data service"


@app.command()
def run(
    data: Annotated[Path, typer.Option("--data", help="Dataset folder or TOML (docs/datasets.md), or service.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new bundle, such as bundles/NAME.")],
    preset: Annotated[
        str | None, typer.Option(help="Preset (see clairo-train presets) or TOML.", show_default="clairo")
    ] = None,
    start_bundle: Annotated[
        Path | None, typer.Option("--from", help="Start from a bundle of other data: its codes and weights.")
    ] = None,
    device: DeviceOption = "auto",
    seed: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_SEED, help="Seed of all random choices.", show_default="0")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting, such as fit.max_epochs=10; repeatable.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
    test: Annotated[
        bool, typer.Option("--test", help="Measure on test, once all is chosen; else on validation.")
    ] = False,
    no_refit: Annotated[
        bool, typer.Option("--no-refit", help="Write the bundle as measured, for papers and tables.")
    ] = False,
    with_users: Annotated[
        bool, typer.Option("--with-users", help="Keep user ids and newest items in the bundle.")
    ] = False,
    push_address: Annotated[
        str | None, typer.Option("--push", help="Also copy the bundle to s3://BUCKET/PREFIX.")
    ] = None,
    engine: EngineOption = EngineName.PROCESS,
    address: AddressOption = None,
    workers: WorkersOption = None,
    service_database: Annotated[
        str | None,
        typer.Option(help="Database URL; default: CLAIRO_DATABASE_URL.", rich_help_panel=SERVICE_PANEL),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Oldest feedback: date (2026-01-31) or age (90d).", rich_help_panel=SERVICE_PANEL),
    ] = None,
    serving: Annotated[
        Path | None,
        typer.Option(help="Serving bundle; with --promote, found beside --out.", rich_help_panel=SERVICE_PANEL),
    ] = None,
    promote: Annotated[
        str | None,
        typer.Option(help="Service URL; activate the bundle if not worse.", rich_help_panel=SERVICE_PANEL),
    ] = None,
    promote_key_file: Annotated[
        Path | None, typer.Option(help="File with an API key of scope admin.", rich_help_panel=SERVICE_PANEL)
    ] = None,
    not_worse_than: Annotated[
        float | None,
        typer.Option(help="Share of NDCG@10 that a promotion may lose (0.05).", rich_help_panel=SERVICE_PANEL),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(help="dataset.toml with other rules for interactions.", rich_help_panel=SERVICE_PANEL),
    ] = None,
    warm_start: Annotated[
        bool,
        typer.Option("--warm-start", help="Start from the serving bundle's weights.", rich_help_panel=SERVICE_PANEL),
    ] = False,
    added_tokens: Annotated[
        int, typer.Option(min=0, help="New tokens with --warm-start.", rich_help_panel=SERVICE_PANEL)
    ] = 0,
) -> None:
    """Train a bundle. Interrupted runs resume; unchanged stages are reused.

    Once measured, the bundle learns from all interactions, the held-out ones too; --no-refit omits this.
    With --engine ray or under torchrun, several processes share the work; see docs/scaling.md.

    With --data service, train on a running service's items and feedback, compare with the serving
    bundle on the newest interactions, and promote the new bundle only if it is not worse. Settings and
    rules are the serving bundle's unless given. See docs/retraining.md.
    """
    started = time.monotonic()
    from training.config.load_preset import DEFAULT_PRESET, load_preset  # noqa: PLC0415

    def open_engine() -> "AbstractContextManager[Engine | None]":
        from training.engines.open_engine import opened_engine  # noqa: PLC0415

        return opened_engine(engine, address=address, workers=workers, device=device, folder=out.parent / ".stages")

    if added_tokens and not warm_start:
        raise SettingsError(f"--added-tokens {added_tokens} goes with --warm-start; add it, or leave out the tokens")
    if not_worse_than is not None and not 0 <= not_worse_than <= 1:
        raise SettingsError(f"--not-worse-than {not_worse_than:g}: expected a share of 0 to 1, such as 0.05")
    if start_bundle is not None and data == SERVICE:
        raise SettingsError("--from is for other data than the bundle's; with --data service, use --warm-start")
    if start_bundle is not None and preset is not None:
        raise SettingsError(
            f"--from takes the bundle's settings; leave out --preset {preset}, and use --set for single ones"
        )
    if data == SERVICE:
        if preset is not None:
            load_preset(preset, overrides or [])
        _check_out(out, overwrite)
        from training.retraining.against_serving import NOT_WORSE_THAN  # noqa: PLC0415
        from training.retraining.retrain import ServiceSource, retrain  # noqa: PLC0415
        from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

        if test:
            raise SettingsError("--test is set, but retraining measures on the newest interactions; leave it out")
        source = ServiceSource(
            push=checked_push(push_address, out),
            database=service_database,
            since=since,
            serving=serving,
            promote_url=promote,
            promote_key_file=promote_key_file,
            warm_start=warm_start,
            added_tokens=added_tokens,
            rules=rules,
            not_worse_than=NOT_WORSE_THAN if not_worse_than is None else not_worse_than,
        )
        with open_engine() as opened:
            if opened is not None:
                retrained = retrain(
                    source,
                    out,
                    preset=preset,
                    overrides=overrides or [],
                    seed=seed,
                    device=device,
                    engine=opened,
                    is_refitted=not no_refit,
                    has_users=with_users,
                    progress=progress_bar,
                    report=report,
                )
                _show_outcome(retrained, out)
        return
    service_flags = {
        "--service-database": service_database,
        "--since": since,
        "--serving": serving,
        "--promote": promote,
        "--promote-key-file": promote_key_file,
        "--not-worse-than": not_worse_than,
        "--rules": rules,
        "--warm-start": warm_start or None,
    }
    given = ", ".join(flag for flag, value in service_flags.items() if value is not None)
    if given:
        raise SettingsError(f"--data is {data}, which does not go with {given}; take --data service, or leave them out")
    if start_bundle is None:
        settings, start = load_preset(preset or DEFAULT_PRESET, overrides or []), None
    _check_out(out, overwrite)
    pushed_to = checked_push(push_address, out)
    # torch, transformers and numba take seconds to import: check the flags first.
    from training.cli.run_on_data import run_on_data  # noqa: PLC0415
    from training.retraining.other_data import start_from  # noqa: PLC0415

    split = Split.TEST if test else Split.VALIDATION
    with open_engine() as opened:
        if opened is None:
            return
        if start_bundle is not None:
            settings, start = start_from(start_bundle, overrides or [], report)
        run_on_data(
            data,
            out,
            settings,
            start,
            seed or 0,
            device,
            split,
            opened,
            is_refitted=not no_refit,
            has_users=with_users,
        )
    report(f"wrote {out} in {time.monotonic() - started:.0f} s")
    push_to(pushed_to, out)


def _check_out(out: Path, overwrite: bool) -> None:
    if (out / "manifest.json").exists() and not overwrite:
        raise SettingsError(f"--out {out} already holds a bundle; name another folder, or add --overwrite")


def _show_outcome(retrained: "Retrained", out: Path) -> None:
    typer.echo(str(retrained.against_serving))
    if retrained.is_promoted:
        typer.echo(f"bundle {retrained.bundle_id} is served from now on")
    elif retrained.against_serving.refusal is not None:
        typer.echo(f"bundle {retrained.bundle_id} is not promoted: {retrained.against_serving.refusal}; it is in {out}")
        typer.echo(f"to serve it all the same: POST /bundles/{retrained.bundle_id}/activate?allow_worse=true")
    else:
        typer.echo(
            f"bundle {retrained.bundle_id} is not worse; activate it with POST /bundles/{retrained.bundle_id}/activate"
        )


@app.command()
def evaluate(
    bundle: BundleArgument,
    data: DataOption,
    split: SplitOption = Split.VALIDATION,
    device: DeviceOption = "auto",
    users: UsersOption = MEASURED_USERS,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the table to this file.")] = None,
) -> None:
    """Print a bundle's Recall and NDCG on held-out items, next to popularity's."""
    from training.pipeline.evaluate_bundle import evaluate_bundle  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    table = evaluate_bundle(bundle, data, split, device, users, json_file, progress_bar, report)
    typer.echo(table)


@app.command()
def compare(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the report, tables and cached results.")],
    baselines: Annotated[str, typer.Option(help="all, none, or names such as popularity,ease,sasrec.")] = "all",
    presets: Annotated[str, typer.Option(help="Presets to train: names or TOML files, comma-separated.")] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a setting of every preset; repeatable."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds of presets and neural baselines.")] = 1,
    bundles: Annotated[
        list[Path] | None, typer.Option("--bundle", help="Folder of a trained bundle; repeatable.")
    ] = None,
    parts: Annotated[bool, typer.Option("--parts", help="Add each bundle's parts, alone and left out.")] = False,
    mix: Annotated[bool, typer.Option("--mix", help="Add Markov and EASE mixed, alone and with each bundle.")] = False,
    split: SplitOption = Split.TEST,
    device: DeviceOption = "auto",
    users: UsersOption = MEASURED_USERS,
    resamples: Annotated[int, typer.Option(min=10, help="Bootstrap resamples per interval.")] = 1000,
) -> None:
    """Compare baselines, presets and bundles in one table and an HTML report.

    Finished parts are reused. The baselines are listed in docs/evaluation.md. With --set split.kind=time, all
    rankers are measured on what users did in the last horizon.
    """
    from training.config.load_preset import DEFAULT_PRESET, load_preset  # noqa: PLC0415

    chosen = tuple(load_preset(name.strip(), overrides or []) for name in presets.split(",") if name.strip())
    held_out_by = (chosen[0] if chosen else load_preset(DEFAULT_PRESET, overrides or [])).split
    from training.comparison.run_comparison import ComparisonPlan, baseline_names, compare_on  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    names = baseline_names(baselines)
    plan = ComparisonPlan(
        names,
        tuple(bundles or []),
        split,
        users,
        resamples,
        device,
        parts,
        mix,
        chosen,
        seeds,
        held_out_by=held_out_by,
    )
    typer.echo(compare_on(data, plan, out, progress_bar, report))
    report(f"wrote {out / 'report.html'}, results.json and three Parquet tables")


@app.command()
def presets(
    preset: Annotated[str | None, typer.Argument(help="One preset, by name or TOML file, with all settings.")] = None,
) -> None:
    """List presets with their papers, parts and differences; print one with all its settings as TOML."""
    from training.config.list_presets import known_presets, preset_as_toml, presets_as_text  # noqa: PLC0415
    from training.config.load_preset import load_preset  # noqa: PLC0415

    typer.echo(presets_as_text(known_presets()) if preset is None else preset_as_toml(load_preset(preset)))


@app.command()
def vocabulary(
    bundle: BundleArgument,
    data: DataOption,
    tokens: Annotated[int, typer.Option(min=0, help="Tokens to list per kind.")] = 15,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write all tokens to this file.")] = None,
) -> None:
    """Print the features of a bundle's tokens, and how often histories and items contain them."""
    from training.vocabulary.report_on_bundle import report_on_bundle  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    typer.echo(report_on_bundle(bundle, data, tokens, json_file, progress_bar, report))


@app.command("export-encoders")
def export_encoders(
    bundle: BundleArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the new bundle; default: replace it.")] = None,
) -> None:
    """Convert a bundle's encoders to ONNX: serving then needs no encoder library."""
    from training.items.export_encoders import export_encoders as export  # noqa: PLC0415

    written = export(bundle, out, report)
    report(f"wrote {out or bundle} as {written.bundle_id}")


def main() -> None:
    """Run the command, and print an expected error on one line."""
    run_command(app)
