"""What every benchmark prints and writes: a table of rows, each with what it must reach and what it aims at.

A benchmark is `python -m benchmarks.NAME [--json FILE] [--quick]`; it exits with 1 if a row misses its `must`.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path

from benchmarks.repository import REPOSITORY
from clairo_core.storage.replaced_file import replace_text


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    name: str
    value: float
    unit: str
    better: str
    """`higher` or `lower`."""
    must: float | None = None
    """Where the issue sets one: the benchmark fails if the value is on the wrong side."""
    aim: float | None = None

    @property
    def verdict(self) -> str:
        """`missed`, `must`, `aim`, or nothing where nothing was set."""
        sign = 1 if self.better == "higher" else -1
        if self.must is not None and not sign * self.value >= sign * self.must:
            return "missed"
        if self.aim is not None and sign * self.value >= sign * self.aim:
            return "aim"
        return "" if self.must is None else "must"


def run_benchmark(measure: Callable[[bool], tuple[str, Sequence[Row]]], arguments: Sequence[str] | None = None) -> int:
    """Parse the flags, measure, print the table, write the JSON; returns the exit code.

    Args:
        measure: takes whether to be quick; returns what was measured on, and the rows.
        arguments: the command line, without the program's name.
    """
    parser = argparse.ArgumentParser(description=sys.modules[measure.__module__].__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller sizes")
    flags = parser.parse_args(arguments)
    data, rows = measure(flags.quick)
    print(table_of(data, rows))
    if flags.json is not None:
        document = {
            "command": " ".join(
                [
                    "python -m",
                    Path(sys.argv[0]).relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", "."),
                    *sys.argv[1:],
                ]
            ),
            "commit": commit(),
            "machine": machine(),
            "data": data,
            "rows": [asdict(row) for row in rows],
        }
        replace_text(flags.json, json.dumps(document, indent=2))
    return 1 if any(row.verdict == "missed" for row in rows) else 0


def run_on_bundle(rows_of: Callable[[Path, Path, bool], tuple[str, Sequence[Row]]]) -> int:
    """`run_benchmark` with the flags --bundle and --data, both required.

    Args:
        rows_of: takes both, and whether to be quick.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    own, rest = parser.parse_known_args()

    @wraps(rows_of)  # whose module says what --help prints
    def measure(quick: bool) -> tuple[str, Sequence[Row]]:
        return rows_of(own.bundle, own.data, quick)

    return run_benchmark(measure, rest)


def table_of(data: str, rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    width = max((len(row.name) for row in rows), default=0)
    lines = [f"{data}; {machine()}; commit {commit()}", ""]
    for row in rows:
        limits = [("must", row.must), ("aim", row.aim)]
        said = "".join(f"  {label} {shortened(limit)}" for label, limit in limits if limit is not None)
        lines.append(f"{row.name:{width}}  {shortened(row.value):>10} {row.unit:10}{said}  {row.verdict}".rstrip())
    return "\n".join(lines)


def shortened(value: float) -> str:
    """Four significant digits, thousands grouped.

    >>> [shortened(value) for value in (123456.0, 0.012345, 12.0)]
    ['123,456', '0.01235', '12']
    """
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def machine() -> str:
    """Processor kind, cores and Python: enough to tell figures of two machines apart."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def commit() -> str:
    """The short commit, with a plus if the tree has changes."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"
