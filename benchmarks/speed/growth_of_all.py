"""Train, evaluate and serve made shops of growing size: processor time, peak memory, and how both grow.

    python -m benchmarks.speed.growth_of_all [--sizes 1000,10000,100000] [--uncut] [--json FILE] [--quick]

A shop has titles and 14 interactions an item, and is trained with preset `clairo` from files to bundle, on one thread.
Budgets (epochs, their examples, users that fit the mixture and evaluate) are cut; what the preset's own would take is
computed from the measured cost of an epoch, a step and a user, and stands in rows of its own. --uncut trains with the
preset's own. A peak is the resident memory of the training's process in a stage, everything it held before included.
Times of a service are its processor time per answer, over HTTP.

Each size runs in its own process. Stages and figures stay in bundles/growth/SIZE, where a killed run goes on; remove
the folder to measure again. --quick cuts further, in a folder that it removes: ten minutes. Linux only.
"""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.memory import MIB, in_own_process
from benchmarks.report import Row, commit, run_benchmark
from benchmarks.repository import REPOSITORY
from benchmarks.speed import growth_serving as serving
from benchmarks.speed.growth_training import (
    BUNDLE_FOLDER,
    CUT,
    EVALUATION,
    PRESET,
    TOKEN_PRESET,
    TrainedSize,
    at_most,
    full_seconds,
    load_training,
    train_size,
    whole_cost,
)
from clairo_core.errors import TrainingError
from training.config.load_preset import load_preset

GROWTH = REPOSITORY / "bundles" / "growth"
SIZES, LARGEST = (1_000, 10_000, 100_000), 1_000_000
FITTED_FROM = 10_000
"""Below, what does not grow at all takes most of the time."""
MOST_GROWTH_OF_TRAINING, MOST_GROWTH_OF_ANSWERS = 1.15, 0.35
MOST_MIB, MOST_HOURS, AIMED_HOURS = 10 * 1024, 8.0, 3.0
"""At a million items. Hours are of processor: two cores take no longer."""
QUICK_CUT = (
    "parallel.examples_per_epoch=30_000",
    "dense.examples_per_epoch=30_000",
    "mix.max_users=500",
    "evaluate.max_users=300",
)
"""On top of `CUT`."""


@dataclass(frozen=True, slots=True)
class Size:
    """All figures of one size."""

    trained: TrainedSize
    served: Mapping[str, float]
    full: Mapping[str, float]
    """Computed seconds by stage with the preset's budgets."""
    evaluated_users: int

    @property
    def num_items(self) -> int:
        """Of the shop."""
        return self.trained.num_items


def rows(quick: bool, sizes: Sequence[int] | None, uncut: bool) -> tuple[str, list[Row]]:
    """Train and serve each size, and fit exponents."""
    # Before any process starts: libraries read it once.
    os.environ["OMP_NUM_THREADS"] = "1"
    with TemporaryDirectory() as folder:
        root = Path(folder) if quick else GROWTH
        overrides = () if uncut else CUT + QUICK_CUT if quick else CUT
        measured = [measured_size(root / str(size), size, overrides, quick) for size in sizes or SIZES]
    commits = sorted({size.trained.commit for size in measured})
    budgets = f"cut budgets ({', '.join(overrides)})" if overrides else "the preset's budgets"
    data = f"made shops with titles, preset {PRESET}, {budgets}, one thread; trained at commit {', '.join(commits)}"
    table = [row for size in measured for row in size_rows(size, uncut)]
    grown = [size for size in measured if size.num_items >= FITTED_FROM]
    return data, table + (growth_rows(grown, uncut) if len(grown) > 1 else [])


def measured_size(folder: Path, num_items: int, overrides: tuple[str, ...], quick: bool) -> Size:
    """Train and serve one size, as far as an earlier run has not."""
    out, shop = folder / ("cut" if overrides else "uncut"), folder / "shop"
    out.mkdir(parents=True, exist_ok=True)
    trained = load_training(out)
    if trained is None:
        try:
            in_own_process(partial(train_size, shop, folder / "stages", out, num_items, overrides))
        except BrokenProcessPool as error:
            raise TrainingError(
                f"{num_items:,} items: the training's process was killed, perhaps for its memory; finished stages are "
                f"kept in {folder / 'stages'}, run again to resume"
            ) from error
        trained = load_training(out)
    elif trained.commit != commit():
        print(f"{num_items:,} items: trained before, at commit {trained.commit}; {folder} keeps it", file=sys.stderr)
    assert trained is not None
    served = serving.load_serving(out)
    if served is None:
        with TemporaryDirectory() as data_dir:
            seconds, num_posted = (3.0, 10) if quick else (15.0, 30)
            serving.serve_size(out / BUNDLE_FOLDER, shop, Path(data_dir), out, seconds, num_posted)
        served = serving.load_serving(out)
    assert served is not None
    full, cut = load_preset(PRESET), load_preset(PRESET, overrides)
    computed = {stage: full_seconds(trained, stage, cut, full) for stage in trained.costs}
    return Size(trained, served, computed, at_most(cut.evaluate.max_users, trained.test_users))


def size_rows(size: Size, uncut: bool) -> list[Row]:
    """Everything of one size: measured stages, totals, computed budgets, the service."""
    trained, label, is_largest = size.trained, f"{size.num_items:,} items", size.num_items == LARGEST
    table = []
    costs = dict(trained.costs) | {f"{name}, {TOKEN_PRESET}": cost for name, cost in trained.token_costs.items()}
    for stage, cost in costs.items():
        table.append(Row(f"{label}: {stage}", cost.seconds, "s", "lower"))
        table.append(Row(f"{label}: {stage}, peak", cost.peak_bytes / MIB, "MiB", "lower"))
    whole, most = whole_cost(trained), MOST_MIB if is_largest else None
    peak = max(cost.peak_bytes for cost in costs.values()) / MIB
    table.append(Row(f"{label}: training, measured", whole.seconds / 3600, "processor h", "lower"))
    if not uncut:
        table += [
            Row(f"{label}: {stage}, computed", seconds, "s", "lower")
            for stage, seconds in size.full.items()
            if seconds != trained.costs[stage].seconds
        ]
        hours = sum(size.full.values()) / 3600
        limits = (MOST_HOURS, AIMED_HOURS) if is_largest else (None, None)
        table.append(Row(f"{label}: training, preset's budgets, computed", hours, "processor h", "lower", *limits))
    evaluation_ms = 1000 * trained.costs[EVALUATION].seconds / size.evaluated_users
    units = {serving.START: "s", serving.CACHED: "/s", serving.RESIDENT: "MiB", serving.LOADED: "MiB"}
    return [
        *table,
        Row(f"{label}: peak memory of training", peak, "MiB", "lower", most),
        Row(f"{label}: evaluation, each user", evaluation_ms, "ms", "lower"),
        *(
            Row(f"{label}: {name}", value, units.get(name, "ms"), "higher" if name == serving.CACHED else "lower")
            for name, value in size.served.items()
        ),
    ]


def growth_rows(sizes: Sequence[Size], uncut: bool) -> list[Row]:
    """Exponents of all sizes from `FITTED_FROM` on."""

    def exponent(name: str, values: Sequence[float], must: float | None = None) -> Row:
        return Row(f"{name}: exponent from {sizes[0].num_items:,} items", slope(sizes, values), "", "lower", must)

    measured = [whole_cost(size.trained).seconds for size in sizes]
    table = [
        exponent(stage, [size.trained.costs[stage].seconds for size in sizes])
        for stage in sizes[0].trained.costs
        if all(size.trained.costs[stage].seconds > 0 for size in sizes)
    ]
    if uncut:
        table.append(exponent("training", measured, MOST_GROWTH_OF_TRAINING))
    else:
        computed = [sum(size.full.values()) for size in sizes]
        table.append(exponent("training, cut", measured, MOST_GROWTH_OF_TRAINING))
        table.append(exponent("training, computed", computed, MOST_GROWTH_OF_TRAINING))
    for name in (serving.ALONE, serving.AT_ONCE):
        table.append(exponent(name, [size.served[name] for size in sizes], MOST_GROWTH_OF_ANSWERS))
    table.append(exponent(serving.POSTED, [size.served[serving.POSTED] for size in sizes]))
    table.append(exponent(serving.LOADED, [size.served[serving.LOADED] for size in sizes]))
    return table


def slope(sizes: Sequence[Size], values: Sequence[float]) -> float:
    """Of values by items in log-log scale: 0 is constant cost, 1 linear growth."""
    return float(np.polyfit(np.log([size.num_items for size in sizes]), np.log(values), 1)[0])


SMALLEST = 100


def list_of_sizes(text: str) -> list[int]:
    """Read `1000,10000`.

    >>> list_of_sizes("10000,1_000")
    [1000, 10000]
    """
    try:
        sizes = sorted({int(size) for size in text.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < SMALLEST:
        raise ArgumentTypeError(f"got {text!r}, expected numbers of items from {SMALLEST} on, such as 1000,10000")
    return sizes


def flags() -> ArgumentParser:
    """The benchmark's own flags."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument(
        "--sizes", type=list_of_sizes, metavar="N,N", help="numbers of items (default: 1000,10000,100000)"
    )
    parser.add_argument("--uncut", action="store_true", help="train with the preset's own budgets")
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
