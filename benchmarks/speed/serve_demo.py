"""Processor time and memory of serving the demo bundle: start, cached answers, four workers.

    python -m benchmarks.speed.serve_demo [--bundle DIR] [--json FILE] [--quick]

Times are processor seconds of the service, so a busy machine changes them little. Cached answers are those of twenty
bodies over and over, after each was asked once; bare uvicorn answers as many requests in the same run. Memory is
proportional (a page that N processes share counts 1/N in each), so others on the machine that use torch lower it.
Linux only.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.memory import proportional_mib
from benchmarks.report import Row, bundle_flags, run_benchmark
from benchmarks.service.http_load import closed_loop
from benchmarks.service.service_process import processor_seconds, served_bundle
from clairo_core.bundle.load_bundle import load_bundle

NUM_WORKERS = 4
NUM_CLIENTS = 16
NUM_BODIES = 20
HISTORY_ITEMS = 6


def answers_per_second(url: str, process_id: int, bodies: Sequence[bytes], seconds: float) -> float:
    """Answers per processor second of the process, after each body was asked twice."""
    asyncio.run(closed_loop(url, cycle(bodies), 2, seconds / 4))
    before = processor_seconds(process_id)
    load = asyncio.run(closed_loop(url, cycle(bodies), NUM_CLIENTS, seconds))
    return load.with_status(200) / (processor_seconds(process_id) - before)


def bare_answers_per_second(bodies: Sequence[bytes], seconds: float) -> float:
    """The same of uvicorn alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.service.bare_server", str(port)])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        return answers_per_second(f"http://127.0.0.1:{port}", process.pid, bodies, seconds)
    finally:
        process.terminate()
        process.wait()


def rows(quick: bool, bundle: Path, data: Path) -> tuple[str, list[Row]]:
    """Describe the bundle, and measure."""
    del data
    seconds = 3.0 if quick else 10.0
    item_ids = load_bundle(bundle).catalogue.item_ids
    histories = [item_ids[start : start + HISTORY_ITEMS] for start in range(NUM_BODIES)]
    bodies = [json.dumps({"history": history, "limit": 10}).encode() for history in histories]
    with TemporaryDirectory() as folder:
        # Once before, so that bytecode and kernels are compiled and the schema is there.
        with served_bundle(bundle, Path(folder) / "one"):
            pass
        with served_bundle(bundle, Path(folder) / "one") as service:
            start, memory = processor_seconds(service.process_id), service.resident_mib()
            cached = answers_per_second(service.url, service.process_id, bodies, seconds)
        bare = bare_answers_per_second(bodies, seconds)
        with served_bundle(bundle, Path(folder) / "four", workers=NUM_WORKERS) as service:
            asyncio.run(closed_loop(service.url, cycle(bodies), NUM_CLIENTS, seconds))
            workers = proportional_mib(service.worker_ids())
            watching = proportional_mib((service.process_id,))
    return f"{bundle.name}, {len(item_ids)} items", [
        Row("start until ready", start, "processor s", "lower", must=2),
        Row("resident memory once ready", memory, "MiB", "lower"),
        Row("cached answers", cached, "per processor s", "higher", must=3000, aim=4000),
        Row("bare uvicorn", bare, "per processor s", "higher"),
        Row("cached answers, of bare uvicorn's", 100 * cached / bare, "%", "higher"),
        Row(f"{NUM_WORKERS} workers together", workers, "MiB", "lower", must=640),
        Row("the process that loaded their bundle", watching, "MiB", "lower"),
    ]


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, bundle_flags()))
