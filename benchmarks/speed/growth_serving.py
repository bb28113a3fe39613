"""Turn a bundle into what a service of it takes: to start, to answer, to take a product. Start at `serve_size`."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from benchmarks.service.http_load import ConnectionPool, closed_loop
from benchmarks.service.service_process import ServiceProcess, processor_seconds, served_bundle
from benchmarks.speed.growth_shop import some_histories
from benchmarks.speed.random_bundle import different_bodies
from benchmarks.speed.serve_demo import answers_per_second
from clairo_core.storage.replaced_file import replace_text

START, ALONE, AT_ONCE, CACHED, POSTED, RESIDENT, LOADED = (
    "start until ready",
    "POST /recommend alone",
    "POST /recommend, 16 at once, each",
    "cached answers",
    "POST /items",
    "resident memory when ready",
    "resident memory after the load",
)
NUM_CLIENTS, NUM_HISTORIES, NUM_REPEATED = 16, 500, 20
SERVING_FILE = "serving.json"


def serve_size(bundle: Path, shop: Path, data_dir: Path, out: Path, seconds: float, num_posted: int) -> None:
    """Serve the bundle on one thread, and write its figures to serving.json in `out`.

    Args:
        bundle: to serve.
        shop: whose first users ask.
        data_dir: of the service's database, empty.
        out: folder of the file.
        seconds: of each load.
        num_posted: products to post.
    """
    bodies = different_bodies(some_histories(shop, NUM_HISTORIES))
    # Once before, so that bytecode and kernels are compiled and the schema is there.
    with served_bundle(bundle, data_dir):
        pass
    with served_bundle(bundle, data_dir) as service:
        figures = {START: processor_seconds(service.process_id), RESIDENT: service.resident_mib()}
        asyncio.run(closed_loop(service.url, bodies, 1, seconds / 4))
        figures[ALONE] = answer_ms(service, bodies, 1, seconds)
        figures[AT_ONCE] = answer_ms(service, bodies, NUM_CLIENTS, seconds)
        repeated = list(islice(bodies, NUM_REPEATED))
        figures[CACHED] = answers_per_second(service.url, service.process_id, repeated, seconds / 2)
        figures[POSTED] = asyncio.run(posted_ms(service, num_posted))
        asyncio.run(closed_loop(service.url, bodies, 1, seconds / 4))
        figures[LOADED] = service.resident_mib()
    replace_text(out / SERVING_FILE, json.dumps(figures, indent=2))


def answer_ms(service: ServiceProcess, bodies: Iterator[bytes], num_clients: int, seconds: float) -> float:
    """Processor milliseconds of the service per answer."""
    before = processor_seconds(service.process_id)
    load = asyncio.run(closed_loop(service.url, bodies, num_clients, seconds))
    good = load.with_status(200)
    if good < len(load.answers):
        raise SystemExit(f"{len(load.answers) - good} of {len(load.answers)} answers to POST /recommend are not 200")
    return 1000 * (processor_seconds(service.process_id) - before) / good


async def posted_ms(service: ServiceProcess, count: int) -> float:
    """Processor milliseconds of the service per posted product, after a first one."""
    pool = ConnectionPool(service.url)
    before = 0.0
    for number in range(count + 1):
        body = {"item_id": f"posted-{number}", "title": f"wooden tea pot {number}"}
        answer = await pool.ask("POST", "/items", json.dumps(body).encode())
        if answer.status != 201:
            raise SystemExit(f"POST /items answered {answer.status}, expected 201: {answer.body.decode()}")
        if number == 0:
            before = processor_seconds(service.process_id)
    await pool.close()
    return 1000 * (processor_seconds(service.process_id) - before) / count


def load_serving(out: Path) -> Mapping[str, float] | None:
    """What `serve_size` wrote; None if it has not."""
    path = out / SERVING_FILE
    figures: Mapping[str, float] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return figures
