"""Run a benchmark: parse its flags, print its table, write its JSON.

A benchmark is `python -m benchmarks.ROOM.NAME [--json FILE] [--quick]`; it exits with 1 if a row misses its `must`.
"""

import json
import math
import os
import platform
import shlex
import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.repository import DEMO_SHOP, MEASURED_DEMO_BUNDLE
from clairo_core.errors import ClairoError
from clairo_core.storage.replaced_file import replace_text


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    name: str
    value: float | None
    """None: not measured."""
    unit: str
    better: str
    """`higher` or `lower`."""
    must: float | None = None
    """Limit that the issue sets; the benchmark fails beyond it."""
    aim: float | None = None

    @property
    def verdict(self) -> str:
        """`missed`, `must` or `aim`; empty without limits or a value."""
        if self.value is None:
            return ""
        sign = 1 if self.better == "higher" else -1
        if self.must is not None and not sign * self.value >= sign * self.must:
            return "missed"
        if self.aim is not None and sign * self.value >= sign * self.aim:
            return "aim"
        return "" if self.must is None else "must"


def run_benchmark(rows: Callable[..., tuple[str, Sequence[Row]]], flags: ArgumentParser | None = None) -> int:
    """Parse the command line, measure, print the table, write the JSON. Returns the exit code.

    Args:
        rows: gets `quick` and each of `flags` by keyword; returns a description of the data, and the rows.
        flags: the benchmark's own, made with `add_help=False`.
    """
    command = f"python -m {module_name()}"
    parser = ArgumentParser(
        prog=command,
        description=sys.modules[rows.__module__].__doc__,
        formatter_class=RawDescriptionHelpFormatter,
        parents=[flags] if flags else [],
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to this file")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, smaller sizes")
    chosen = vars(parser.parse_args())
    json_file = chosen.pop("json")
    try:
        data, table = rows(**chosen)
    except ClairoError as error:
        sys.exit(str(error))
    print(table_of(data, table))
    if json_file is not None:
        write_rows(json_file, data, table)
    return 1 if any(row.verdict == "missed" for row in table) else 0


def write_rows(json_file: Path, data: str, table: Sequence[Row], **further: object) -> None:
    """Write the rows, what they were measured on, and `further` fields."""
    document = {
        "command": f"python -m {module_name()} {shlex.join(sys.argv[1:])}",
        "commit": commit(),
        "machine": machine(),
        "data": data,
        "rows": [asdict(row) for row in table],
    }
    replace_text(json_file, json.dumps(document | further, indent=2))


def module_name() -> str:
    """Name of the module or room that `python -m` runs."""
    spec = sys.modules["__main__"].__spec__
    if spec is None:
        sys.exit(f"{sys.argv[0]} runs as a file; run it as a module: python -m benchmarks.ROOM.NAME")
    return spec.name.removesuffix(".__main__")


def bundle_flags() -> ArgumentParser:
    """Flags of a benchmark of one bundle: --bundle and --data, by default the demo's."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument(
        "--bundle",
        type=Path,
        default=MEASURED_DEMO_BUNDLE,
        help="bundle to measure, trained with --no-refit (default: bundles/demo-measured)",
    )
    parser.add_argument("--data", type=Path, default=DEMO_SHOP, help="its training data (default: demo/shop)")
    return parser


def device_flags() -> ArgumentParser:
    """The flag of a benchmark whose device can be chosen: --device, by default the CPU."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    return parser


def add_settings_flag(parser: ArgumentParser) -> None:
    """Add --set, which changes settings of the trained preset."""
    parser.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help="change a preset setting"
    )


def table_of(data: str, rows: Sequence[Row]) -> str:
    """Rows as aligned text."""
    width = max((len(row.name) for row in rows), default=0)
    lines = [f"{data}; {machine()}; commit {commit()}", ""]
    for row in rows:
        limits = [("must", row.must), ("aim", row.aim)]
        shown = "".join(f"  {label} {shortened(limit)}" for label, limit in limits if limit is not None)
        lines.append(f"{row.name:{width}}  {shown_value(row.value):>12} {row.unit:10}{shown}  {row.verdict}".rstrip())
    return "\n".join(lines)


def shown_value(value: float | None) -> str:
    """The value in short, or that there is none."""
    return "not measured" if value is None else shortened(value)


def shortened(value: float) -> str:
    """Four significant digits, thousands grouped.

    >>> [shortened(value) for value in (123456.0, 0.012345, 12.0)]
    ['123,456', '0.01235', '12']
    """
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def machine() -> str:
    """Processor kind, cores and Python: enough to tell two machines' figures apart."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def commit() -> str:
    """Short commit id, with a plus if the tree has changes."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"
