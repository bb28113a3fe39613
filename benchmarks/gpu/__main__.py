"""Check all that a GPU must show: right answers, and speed beside a CPU thread.

    python -m benchmarks.gpu [--json FILE] [--minutes N] [--parts PART ...]
    python -m benchmarks.gpu --device cpu --small

Parts: generate (lists, rates, CUDA graphs), serve (a bundle trained and served there, over HTTP), train (steps and
losses), encode (pictures and titles). They share the minutes; a part that is late is stopped, and its remaining rows
are "not measured". FILE is written after each row. Without a GPU, `--device cpu --small` tries every part at tiny
sizes; only agreement has musts then. Exits with 1 if a row misses its must or a part fails, with 2 without a GPU.

Papers' own sizes, which take a GPU days: `python -m benchmarks.accuracy.published_sizes`.
"""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gpu.checklist import PARTS, Part, Setup, checklist
from benchmarks.gpu.run_parts import Measured, Problem, description_of, measured, preload
from benchmarks.report import Row, module_name, table_of, write_rows
from training.workbench.progress_bar import progress_bar

MEASURING_SHARE = 0.3
"""Of a part's time; the rest sets up."""
MAX_FIGURE_SECONDS, TRIAL_FIGURE_SECONDS = 5.0, 0.1


def main() -> int:
    """Run the checklist. Returns the exit code."""
    chosen = command_line().parse_args()
    preload()
    try:
        data = description_of(chosen.device)
    except RuntimeError as error:
        print(
            f"no GPU to check: {error}; install its driver and a torch with CUDA, or try the checklist without one: "
            "python -m benchmarks.gpu --device cpu --small",
            file=sys.stderr,
        )
        return 2
    with TemporaryDirectory() as folder:
        setup = Setup(chosen.device, chosen.small, 0.0, Path(folder))
        run = Checklist({name: PARTS[name] for name in chosen.parts}, setup, data, chosen.json)
        run.measure(60 * chosen.minutes)
    print(table_of(data, run.rows))
    for problem in run.problems:
        print(f"problem: {problem}")
    print(run.summary)
    return 0 if run.has_passed else 1


def command_line() -> ArgumentParser:
    """The flags."""
    parser = ArgumentParser(
        prog=f"python -m {module_name()}", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to this file")
    parser.add_argument("--minutes", type=minutes, default=12.0, help="time for all parts (default: 12)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="measure these alone")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="device to check (default: cuda)")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the command itself")
    return parser


def minutes(text: str) -> float:
    """A positive number of minutes."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"got {text!r}, expected a positive number of minutes, such as 12")
    return value


class Checklist:
    """The rows of some parts, filled while they are measured."""

    def __init__(self, parts: Mapping[str, Part], setup: Setup, data: str, json_file: Path | None) -> None:
        self._parts, self._setup, self._data, self._json_file = parts, setup, data, json_file
        self._rows = {name: {row.name: row for row in checklist(part, setup)} for name, part in parts.items()}
        self.problems: list[Problem] = []

    @property
    def rows(self) -> list[Row]:
        """All rows, each named after its part."""
        return [replace(row, name=f"{part}: {row.name}") for part, rows in self._rows.items() for row in rows.values()]

    @property
    def has_passed(self) -> bool:
        """Whether no row has missed its must, and no part has failed. Rows that were not reached do not count."""
        return not self.problems and all(row.verdict != "missed" for row in self.rows)

    @property
    def summary(self) -> str:
        """Rows by outcome."""
        rows = self.rows
        passed = sum(row.verdict in ("must", "aim") for row in rows)
        missed = sum(row.verdict == "missed" for row in rows)
        absent = sum(row.value is None for row in rows)
        return f"{passed} passed, {missed} failed, {absent} of {len(rows)} rows not measured"

    def measure(self, seconds: float) -> None:
        """Measure part after part; each gets its share of the time that is left."""
        end = time.monotonic() + seconds
        left = sum(part.share for part in self._parts.values())
        self._write()
        for name, part in self._parts.items():
            of_part = max(0.0, end - time.monotonic()) * part.share / left
            left -= part.share
            rows = self._rows[name]
            of_figure = min(MAX_FIGURE_SECONDS, MEASURING_SHARE * of_part / len(rows))
            setup = replace(self._setup, seconds=TRIAL_FIGURE_SECONDS if self._setup.is_small else of_figure)
            for result in progress_bar(measured(part.module, setup, of_part), name, len(rows)):
                self._note(rows, result)
                self._write()

    def _note(self, rows: dict[str, Row], result: Measured | Problem) -> None:
        if isinstance(result, str):
            self.problems.append(result)
            return
        name, value = result
        if name in rows:
            rows[name] = replace(rows[name], value=value)
        else:
            self.problems.append(f"{name!r} was measured, but the checklist has no such row")

    def _write(self) -> None:
        if self._json_file is not None:
            write_rows(self._json_file, self._data, self.rows, problems=self.problems)


if __name__ == "__main__":
    sys.exit(main())
