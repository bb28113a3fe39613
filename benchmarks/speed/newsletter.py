"""Recommend to all users of a shop: the batched engine alone, and `clairo-train recommend` from start to file.

    python -m benchmarks.speed.newsletter [--bundle DIR] [--data DIR] [--copies N] [--json FILE] [--quick]

Users are the demo shop's, each `--copies` times under another id. Both sides have one thread and answer the same
requests, 20 items each. Their times are processor time, because the machine has other work. The command's includes its
start: imports, loading, reading the data.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.report import Row, bundle_flags, run_benchmark
from clairo_core.bundle.load_bundle import load_bundle
from training.recommending.user_histories import read_users, user_histories
from training.recommending.write_lists import USERS_PER_PART

LIMIT = 20
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def with_copies(shop: Path, folder: Path, copies: int) -> None:
    """Write the demo shop into `folder`, each user `copies` times."""
    shutil.copytree(shop, folder)
    table = pq.read_table(folder / "interactions.parquet")
    place = table.schema.get_field_index("user_id")
    ids = table["user_id"].to_pylist()
    tables = [
        table.set_column(place, "user_id", pa.array([f"{user_id}-{number}" for user_id in ids]))
        for number in range(copies)
    ]
    pq.write_table(pa.concat_tables(tables), folder / "interactions.parquet")


def engine_seconds(bundle_folder: Path, data: Path) -> tuple[int, float]:
    """The number of users, and processor seconds of `recommend_batch` for all of them."""
    bundle = load_bundle(bundle_folder)
    histories = user_histories(read_users(data, bundle.manifest, lambda steps, label, total: steps))
    recommender = bundle.recommender("cpu")
    requests = histories.requests_of(range(len(histories)), LIMIT)
    # Compiles and allocates.
    recommender.recommend_batch(requests[:8])
    started = time.process_time()
    for start in range(0, len(requests), USERS_PER_PART):
        recommender.recommend_batch(requests[start : start + USERS_PER_PART])
    return len(requests), time.process_time() - started


def command_seconds(bundle_folder: Path, data: Path, out: Path) -> float:
    """Processor seconds of the command."""
    command = [sys.executable, "-m", "training.cli", "recommend", str(bundle_folder), "--users", str(data)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "--out", str(out), "--limit", str(LIMIT)], env=os.environ | ONE_THREAD, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rows(quick: bool, bundle: Path, data: Path, copies: int) -> tuple[str, list[Row]]:
    """Describe the data, and measure engine and command."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        shop, one = Path(folder) / "shop", Path(folder) / "one"
        with_copies(data, shop, 1 if quick else copies)
        num_users, engine = engine_seconds(bundle, shop)
        command = command_seconds(bundle, shop, Path(folder) / "recommendations.parquet")
        with_copies(data, one, 1)
        interactions = pq.read_table(one / "interactions.parquet")
        pq.write_table(interactions.slice(0, 1), one / "interactions.parquet")
        start = command_seconds(bundle, one, Path(folder) / "one.parquet")
    return f"{num_users:,} users, {LIMIT} items each; one thread, processor time", [
        Row("engine alone, batched", num_users / engine, "users/s", "higher"),
        Row("command, start to file", num_users / command, "users/s", "higher"),
        Row("command: of the engine's rate", 100 * engine / command, "%", "higher"),
        Row("command for one user", start, "s", "lower"),
        Row("command without that: of the engine's rate", 100 * engine / (command - start), "%", "higher"),
    ]


if __name__ == "__main__":
    flags = ArgumentParser(add_help=False, parents=[bundle_flags()])
    flags.add_argument("--copies", type=int, default=5, help="copies of each user (default: 5)")
    sys.exit(run_benchmark(rows, flags))
