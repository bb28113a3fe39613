"""Train a bundle on a GPU, serve it there, and load the service over HTTP as a shop does.

A made shop; budgets of the training are cut, as speed does not depend on quality. The service is a process of its own
with the settings it has by default, but without a cache.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.gpu.checklist import MANY_CLIENTS, Setup
from benchmarks.gpu.run_parts import Measured, Step
from benchmarks.service.http_load import NO_ANSWER, Answered, ConnectionPool, Load, closed_loop
from benchmarks.service.service_process import served_bundle
from benchmarks.shop.shelf import activation_path, fill_shelf
from benchmarks.speed.generate_contest import share_kept, top_tens
from benchmarks.speed.growth_shop import some_histories, write_made_shop
from benchmarks.speed.random_bundle import different_bodies
from benchmarks.speed.timing import timed
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.generation.t5.generator import choose_device
from clairo_core.items import UserHistory
from clairo_core.progress import silent
from clairo_core.recommendation import RecommendationRequest
from training.config.load_preset import load_preset
from training.datasets.open_dataset import open_dataset
from training.pipeline.present_modalities import with_present_modalities
from training.pipeline.run import train_bundle
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

NUM_ITEMS, SMALL_NUM_ITEMS = 2_000, 60
CUT = (
    *("fit.max_epochs=2", "fit.examples_per_epoch=20_000", "parallel.max_epochs=2"),
    *("parallel.examples_per_epoch=50_000", "dense.max_epochs=2", "dense.examples_per_epoch=50_000"),
    *("mix.max_users=500", "evaluate.max_users=200"),
)
SMALL_CUT = (*CUT, "parallel.max_epochs=1", "dense.max_epochs=1", "mix.max_users=100", "evaluate.max_users=20")
NUM_HISTORIES, NUM_COMPARED, SMALL_NUM_COMPARED = 500, 128, 16
NUM_POSTED, SMALL_NUM_POSTED = 20, 3
CLIENTS_MEANWHILE = 4
"""Clients during the swap."""


def steps(setup: Setup) -> list[Step]:
    """What this part measures, in order."""
    return [partial(preset_figures, setup, preset) for preset in setup.served_presets]


def preset_figures(setup: Setup, preset: str) -> Iterator[Measured]:
    """Train, serve, load, post and swap."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        bundle, took = timed(partial(trained_bundle, setup, preset, folder))
        yield f"{preset}: trained and evaluated", took
        histories = some_histories(folder / "shop", NUM_HISTORIES)
        _, shelf = fill_shelf(folder / "shelf", bundle)
        started = time.perf_counter()
        with served_bundle(
            shelf.serving_folder,
            folder / "data",
            device=setup.device,
            bundles_dir=shelf.folder,
            cache_max_entries=0,
        ) as service:
            yield f"{preset}: service ready", time.perf_counter() - started
            num_compared = SMALL_NUM_COMPARED if setup.is_small else NUM_COMPARED
            agreement = asyncio.run(agreement_with_cpu(service.url, shelf.serving_folder, histories, num_compared))
            yield f"{preset}: the CPU's top 10, found over HTTP", agreement
            yield from load_figures(preset, service.url, histories, setup.seconds)
            num_posted = SMALL_NUM_POSTED if setup.is_small else NUM_POSTED
            posted = asyncio.run(post_items(service.url, num_posted))
            yield f"{preset}: POST /items, p50", posted.percentile_ms(50)
            yield f"{preset}: items not posted", len(posted.answers) - posted.with_status(201)
            took, load = asyncio.run(swapped(service.url, activation_path(shelf.second), histories))
            yield f"{preset}: swap to another bundle", took
            yield f"{preset}: slowest answer meanwhile", load.percentile_ms(100)
            yield f"{preset}: not answered meanwhile", len(load.answers) - load.with_status(200)


def trained_bundle(setup: Setup, preset_name: str, folder: Path) -> Path:
    """Make a shop in `folder`, and train a bundle there on the device."""
    shop, bundle = folder / "shop", folder / "bundle"
    write_made_shop(shop, SMALL_NUM_ITEMS if setup.is_small else NUM_ITEMS)
    preset = load_preset(preset_name, SMALL_CUT if setup.is_small else CUT)
    dataset = open_dataset(shop, preset.dataset, preset.encode.modalities, silent)

    def ignore(_line: str) -> None:
        """Nobody reads the training's lines."""

    preset = with_present_modalities(preset, dataset, ignore)
    stages = StageCache(folder / "stages", ignore)
    bench = Workbench(dataset, preset, 0, choose_device(setup.device), stages, silent, ignore)
    train_bundle(bench, bundle, is_refitted=False)
    return bundle


async def agreement_with_cpu(url: str, bundle: Path, histories: Sequence[Sequence[str]], count: int) -> float:
    """Share of the top 10 that the bundle recommends on the CPU that the service lists too, in percent."""
    pool, found = ConnectionPool(url), []
    for body in islice(different_bodies(histories), count):
        answer = await pool.ask("POST", "/recommend", body)
        if answer.status != 200:
            raise SystemExit(f"POST /recommend answered {answer.status}, expected 200: {answer.body.decode()}")
        found.append({entry["item_id"] for entry in json.loads(answer.body)["items"]})
    await pool.close()
    requests = [
        RecommendationRequest(
            history=UserHistory(tuple(asked["history"])), limit=10, include_seen=True, seed=asked["seed"]
        )
        for asked in map(json.loads, islice(different_bodies(histories), count))
    ]
    return share_kept(top_tens(load_bundle(bundle).recommender("cpu"), requests), found)


def load_figures(preset: str, url: str, histories: Sequence[Sequence[str]], seconds: float) -> Iterator[Measured]:
    """Throughput and latency of one client and of many, after some warm-up."""
    bodies = different_bodies(histories)
    for clients, count in (("1 client", 1), (f"{MANY_CLIENTS} clients", MANY_CLIENTS)):
        asyncio.run(closed_loop(url, bodies, count, seconds / 4))
        load = asyncio.run(closed_loop(url, bodies, count, seconds))
        yield f"{preset}, {clients}: throughput", load.per_second
        yield f"{preset}, {clients}: p50", load.percentile_ms(50)
        yield f"{preset}, {clients}: p95", load.percentile_ms(95)
        yield f"{preset}, {clients}: not answered", len(load.answers) - load.with_status(200)


async def post_items(url: str, count: int) -> Load[Answered]:
    """Post products one after the other, after a first one."""
    pool, answers = ConnectionPool(url), []
    started = time.perf_counter()
    for number in range(count + 1):
        body = {"item_id": f"posted-{number}", "title": f"wooden tea pot {number}"}
        posted_at = time.perf_counter()
        answer = await pool.ask("POST", "/items", json.dumps(body).encode())
        answers.append(Answered(answer.status, time.perf_counter() - posted_at))
    await pool.close()
    return Load(answers[1:], time.perf_counter() - started)


async def swapped(url: str, path: str, histories: Sequence[Sequence[str]]) -> tuple[float, Load[Answered]]:
    """Activate another bundle while clients ask. Returns the seconds until it serves, and the clients' answers."""
    pool, bodies, has_swapped = ConnectionPool(url), different_bodies(histories), asyncio.Event()
    answers: list[Answered] = []

    async def ask_until_swapped() -> None:
        while not has_swapped.is_set():
            asked_at, status = time.perf_counter(), NO_ANSWER
            try:
                status = (await pool.ask("POST", "/recommend", next(bodies))).status
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0)
            answers.append(Answered(status, time.perf_counter() - asked_at))

    asking = [asyncio.create_task(ask_until_swapped()) for _ in range(CLIENTS_MEANWHILE)]
    started = time.perf_counter()
    swap = await pool.ask("POST", path)
    took = time.perf_counter() - started
    has_swapped.set()
    await asyncio.gather(*asking)
    await pool.close()
    if swap.status != 200:
        raise SystemExit(f"POST {path} answered {swap.status}, expected 200: {swap.body.decode()}")
    return took, Load(answers, took)
