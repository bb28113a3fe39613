"""Options of several commands."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

SERVICE = Path("service")
"""`--data service` trains on a running service's data; write a folder of that name with its full path."""


class Split(StrEnum):
    """The splits that are measured."""

    TEST = "test"
    VALIDATION = "validation"


class EngineName(StrEnum):
    """Where stages run. A program that torchrun started takes its processes in place of the one."""

    PROCESS = "process"
    RAY = "ray"


BundleArgument = Annotated[Path, typer.Argument(help="Folder of the bundle.")]
DataOption = Annotated[Path, typer.Option("--data", help="Dataset folder or TOML; see docs/datasets.md.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
EngineOption = Annotated[EngineName, typer.Option("--engine", help="Run in this process, or on a Ray cluster.")]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="Ray cluster; default: RAY_ADDRESS, else this machine.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Ray workers; default: all GPUs, or all CPUs.")
]
LARGEST_SEED = 2_000_000_000
"""Libraries take 31 bits; a stage adds to the seed."""
SplitOption = Annotated[Split, typer.Option(help="Held-out items to rank.")]
MEASURED_USERS = 25_000
UsersOption = Annotated[int, typer.Option(min=0, help="Measure on a seeded sample of users; 0 takes all.")]
