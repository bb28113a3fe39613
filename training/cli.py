"""The `clairo-train` command: demo data, training, evaluation, a look at the tokens.

Knows flags and what a person reads; every command calls one function of `training`. Errors that CLAIRO raises on
purpose are printed as one line and end with exit code 2.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clairo_core.errors import ClairoError, SettingsError

if TYPE_CHECKING:
    from training.config.preset import Preset

# Threads that wait must sleep, not spin: with one of two cores taken by other work, spinning made training 20 times
# slower. OpenMP reads this when torch is loaded, which the commands below do only once they run.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    name="clairo-train",
    help="Turn items and interactions into a bundle that clairo-serve can serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        help="A dataset TOML, a folder with a dataset.toml, or a folder in a form that CLAIRO knows; "
        "see docs/datasets.md. For `run`, also the word service; see docs/retraining.md.",
    ),
]
SERVICE = Path("service")
"""In place of a dataset: what a running service has. A folder of that name is named by its full path."""
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


def report(message: str) -> None:
    """One line of news, under any bar that is being drawn."""
    from tqdm import tqdm  # noqa: PLC0415 - only needed once there is something to say

    tqdm.write(message, file=sys.stderr)


@app.command("demo-data")
def demo_data(
    out: Annotated[Path, typer.Option("--out", help="Folder to write; must not hold a dataset yet.")],
    items: Annotated[int, typer.Option(min=50, max=20_000, help="How many products.")] = 1000,
    users: Annotated[int, typer.Option(min=50, max=1_000_000, help="How many shoppers.")] = 3000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same shop.")] = 0,
) -> None:
    """Write the demo shop: products with drawn pictures and written descriptions, and shoppers' histories."""
    from training.demo_shop import write_demo_shop  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    if out.exists() and any(out.iterdir()):
        raise SettingsError(f"{out} is not empty; name a new folder or remove it")
    write_demo_shop(out, num_items=items, num_users=users, seed=seed, progress=progress_bar)
    report(f"wrote {items} products and {users} shoppers to {out}")
    report(f"next: clairo-train run --data {out} --out bundles/demo")


@app.command()
def run(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="The bundle's folder, such as bundles/NAME.")],
    preset: Annotated[str, typer.Option(help="A preset's name, or a TOML file of your own.")] = "clairo",
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(help="Everything random follows from it.")] = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override one setting, such as fit.max_epochs=10; repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    service_database: Annotated[
        str | None,
        typer.Option(help="With --data service: as of `clairo-serve run --database-url`, or CLAIRO_DATABASE_URL."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="With --data service: feedback from then on, a date (2026-01-31) or an age in days (90d)."),
    ] = None,
    serving: Annotated[
        Path | None,
        typer.Option(help="With --data service: the folder of the bundle that is served; --promote asks for it."),
    ] = None,
    promote: Annotated[
        str | None,
        typer.Option(help="With --data service: its address; it is told to serve the new bundle if that is not worse."),
    ] = None,
    promote_key_file: Annotated[
        Path | None, typer.Option(help="A file that holds an API key of scope admin, if the service has keys.")
    ] = None,
    warm_start: Annotated[
        bool,
        typer.Option("--warm-start", help="With --data service: go on from the serving bundle's features and weights."),
    ] = False,
    added_tokens: Annotated[
        int, typer.Option(min=0, help="With --warm-start: tokens that its vocabulary grows by.")
    ] = 0,
) -> None:
    """Train a bundle. A killed run goes on where it stood; stages that have not changed are not run again.

    With `--data service`, train on a running service's own items and feedback, beside the bundle that it serves: both
    rank the newest interactions, and the new one is promoted only if it is not worse. See docs/retraining.md.
    """
    started = time.monotonic()
    from training.config.load_preset import load_preset  # noqa: PLC0415

    settings = load_preset(preset, overrides or [])
    if (out / "manifest.json").exists() and not overwrite:
        raise SettingsError(f"{out} holds a bundle already; name another folder, or add --overwrite")
    of_service = (service_database, since, serving, promote, promote_key_file, warm_start, added_tokens)
    if added_tokens and not warm_start:
        raise SettingsError("--added-tokens goes with --warm-start; without it, the vocabulary is learned anew")
    if data == SERVICE:
        _run_on_service(of_service, settings, out, device, seed)
        return
    if any(flag not in (None, False, 0) for flag in of_service):
        raise SettingsError(
            "--service-database, --since, --serving, --promote and --warm-start go with --data service alone"
        )
    # torch, transformers and numba take seconds to import: only once the flags are known to be good.
    from clairo_core.generation.t5.generator import choose_device  # noqa: PLC0415
    from training.datasets.open_dataset import open_dataset  # noqa: PLC0415
    from training.pipeline.run import train_bundle  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415
    from training.workbench.stage_cache import StageCache  # noqa: PLC0415
    from training.workbench.workbench import Workbench  # noqa: PLC0415

    dataset = open_dataset(data, settings.dataset, settings.encode.modalities, progress_bar)
    report(
        f"{dataset.name}: {len(dataset.items)} items, {len(dataset.user_ids)} users, "
        f"{len(dataset.sequences.items)} interactions"
    )
    stages = StageCache(out.parent / ".stages", report)
    chosen = choose_device(device)
    report(f"preset {settings.name}, device {chosen}, seed {seed}, stages kept in {stages.folder}")
    train_bundle(Workbench(dataset, settings, seed, chosen, stages, progress_bar, report), out)
    report(f"wrote {out} in {time.monotonic() - started:.0f} s")
    report(f"next: clairo-serve run --bundle {out}")


def _run_on_service(
    of_service: tuple[str | None, str | None, Path | None, str | None, Path | None, bool, int],
    settings: "Preset",
    out: Path,
    device: str,
    seed: int,
) -> None:
    from training.retraining.retrain import ServiceSource, retrain  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    source = ServiceSource(*of_service)
    retrained = retrain(source, settings, out, device=device, seed=seed, progress=progress_bar, report=report)
    typer.echo(str(retrained.against_serving))
    if retrained.is_promoted:
        typer.echo(f"bundle {retrained.bundle_id} is served from now on")
    elif not retrained.against_serving.is_not_worse:
        typer.echo(f"bundle {retrained.bundle_id} is not promoted; it is in {out}")
    else:
        typer.echo(f"bundle {retrained.bundle_id} is not worse; activate it with POST /bundles/ID/activate")


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    data: DataOption,
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    device: DeviceOption = "auto",
    users: Annotated[int, typer.Option(min=0, help="Measure on a seeded sample of this many users; 0 takes all.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the table here.")] = None,
) -> None:
    """Print Recall and NDCG of a bundle on held-out next items, beside popularity."""
    if split not in ("test", "validation"):
        raise SettingsError(f"--split is {split!r}; expected test or validation")
    from training.pipeline.evaluate_bundle import evaluate_bundle  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    table = evaluate_bundle(bundle, data, split, device, users, json_file, progress_bar, report)
    typer.echo(table)


@app.command()
def compare(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the report, the tables, and what need not run again.")],
    baselines: Annotated[
        str,
        typer.Option(
            help="Baselines by name, separated by commas: popularity, markov, ease, sasrec, gru4rec, bert4rec; "
            "or all, or none."
        ),
    ] = "all",
    presets: Annotated[str, typer.Option(help="Presets to train, by name or TOML file, separated by commas.")] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override one setting of every preset, such as fit.max_epochs=10; repeatable."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Train presets and neural baselines with seeds 0 to N-1.")] = 1,
    bundles: Annotated[
        list[Path] | None, typer.Option("--bundle", help="A bundle's folder, to stand in the table too; repeatable.")
    ] = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Also each bundle's and preset's generator and dense head alone.")
    ] = False,
    mix: Annotated[
        bool, typer.Option("--mix", help="Also add Markov and EASE up, alone and with each bundle and preset.")
    ] = False,
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    device: DeviceOption = "auto",
    users: Annotated[int, typer.Option(min=0, help="Measure on a seeded sample of this many users; 0 takes all.")] = 0,
    resamples: Annotated[int, typer.Option(min=10, help="Bootstrap resamples behind each interval.")] = 1000,
) -> None:
    """Print baselines, presets and bundles in one table, and write a report. What is done is not run again."""
    if split not in ("test", "validation"):
        raise SettingsError(f"--split is {split!r}; expected test or validation")
    from training.config.load_preset import load_preset  # noqa: PLC0415

    chosen = tuple(load_preset(name.strip(), overrides or []) for name in presets.split(",") if name.strip())
    from training.comparison.compare import ComparisonPlan, baseline_names, compare_on  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    names = baseline_names(baselines)
    plan = ComparisonPlan(names, tuple(bundles or []), split, users, resamples, device, parts, mix, chosen, seeds)
    typer.echo(compare_on(data, plan, out, progress_bar, report))
    report(f"wrote {out / 'report.html'}, results.json and three tables as Parquet")


@app.command()
def vocabulary(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    data: DataOption,
    tokens: Annotated[int, typer.Option(min=0, help="How many tokens to list of each kind.")] = 15,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write every token here.")] = None,
) -> None:
    """Print what a bundle's tokens are made of, how often histories hold them, and in which items."""
    from training.vocabulary.report_on_bundle import report_on_bundle  # noqa: PLC0415
    from training.workbench.progress_bar import progress_bar  # noqa: PLC0415

    typer.echo(report_on_bundle(bundle, data, tokens, json_file, progress_bar, report))


@app.command("export-encoders")
def export_encoders(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write here; without it, the bundle is replaced.")] = None,
) -> None:
    """Write a bundle's encoders as ONNX: serving then needs neither sentence-transformers nor open_clip."""
    from training.items.export_encoders import export_encoders as export  # noqa: PLC0415

    written = export(bundle, out, report)
    report(f"wrote {out or bundle} as {written.bundle_id}")


def main() -> None:
    """Run the command; say what went wrong in one line."""
    run_command(app)


def run_command(command: Callable[[], None]) -> None:
    """Turn errors that a person can mend into one line and exit code 2, a full disk or Ctrl-C included."""
    try:
        command()
    except ClairoError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to go on where it stood", code=130)
    except OSError as error:
        _fail(f"{error.filename or 'file system'}: {error.strerror or error}; free space or mend access, run again")


def _fail(message: str, code: int = 2) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
