"""Start and search a service of many items: processor time, memory, first and later searches.

    python -m benchmarks.speed.serve_many [--items 1000000] [--json FILE] [--quick]

A made recommender (`made_recommenders`) with titles, a brand, a category and a price per item is written as a bundle
without encoders and served on one thread. A search is GET /items for 20 items. "First" is asked of a service that has
answered none; "later" is the mean of twenty. --quick takes 20,000 items. Linux only.
"""

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import numpy as np

from benchmarks.report import Row, run_benchmark
from benchmarks.service.http_load import ConnectionPool
from benchmarks.service.service_process import ServiceProcess, processor_seconds, served_bundle
from benchmarks.speed.growth_shop import made_titles
from benchmarks.speed.made_recommenders import PARALLEL, made_recommender
from clairo_core.bundle.write_bundle import BundleParts, write_bundle
from clairo_core.generation.parallel.parallel_checkpoint import save_network
from clairo_core.generation.parallel.parallel_generator import ParallelGenerator
from clairo_core.items import Item

QUICK_ITEMS, MANY = 20_000, 1_000_000
MOST_START_SECONDS, MOST_SEARCH_MS = 10.0, 60.0
"""At a million items."""
NUM_LATER = 20


def write_made_bundle(folder: Path, num_items: int) -> list[str]:
    """Write the bundle, and return the titles."""
    recommender, random = made_recommender(PARALLEL, num_items), np.random.default_rng(5)
    assert isinstance(recommender.generator, ParallelGenerator)
    titles: list[str] = made_titles(num_items).to_pylist()
    brands, rooms, kinds = (random.integers(most, size=num_items).tolist() for most in (400, 20, 30))
    prices = np.round(random.lognormal(3, 1, num_items), 2).tolist()
    items = [
        Item(
            item_id=name,
            texts={"title": title},
            attributes={"brand": f"Brand {brand}", "category": f"Home > Room {room} > Kind {kind}", "price": price},
        )
        for name, title, brand, room, kind, price in zip(
            recommender.catalogue.item_ids, titles, brands, rooms, kinds, prices, strict=True
        )
    ]
    with TemporaryDirectory() as checkpoint:
        save_network(recommender.generator.network, Path(checkpoint))
        parts = BundleParts(
            preset=PARALLEL,
            dataset_name="made",
            dataset_fingerprint="made",
            vocabulary=recommender.tokenizer.vocabulary,
            catalogue=recommender.catalogue,
            popularity=random.integers(1, 30, num_items),
            items=items,
            generator_folder=Path(checkpoint),
            joint_ranking=recommender.joint_ranking,
        )
        write_bundle(folder, parts)
    return titles


def searches_of(titles: Sequence[str]) -> dict[str, str]:
    """Words to search, by what they are."""
    title = titles[len(titles) // 2].split()
    mistyped = f"{title[0][:2]}{title[0][3]}{title[0][2]}{title[0][4:]}"
    return {
        "words of one title": " ".join(title),
        "a common word": title[2],
        "a mistyped word": f"{mistyped} {title[1]}",
        "a word that none has": "qqqqxy",
        "an id": str(len(titles) // 7),
    }


async def search_ms(service: ServiceProcess, words: str, count: int) -> float:
    """Processor milliseconds of the service per search."""
    pool = ConnectionPool(service.url)
    before = processor_seconds(service.process_id)
    for _ in range(count):
        answer = await pool.ask("GET", f"/items?q={quote(words)}&limit=20")
        if answer.status != 200:
            raise SystemExit(f"GET /items answered {answer.status}, expected 200: {answer.body.decode()}")
    await pool.close()
    return 1000 * (processor_seconds(service.process_id) - before) / count


def rows(quick: bool, items: int | None) -> tuple[str, list[Row]]:
    """Write a bundle, and measure."""
    num_items = items or (QUICK_ITEMS if quick else MANY)
    is_many = num_items == MANY
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        searches = searches_of(write_made_bundle(bundle, num_items))
        # Once before, so that bytecode and kernels are compiled and the schema is there.
        with served_bundle(bundle, Path(folder) / "data"):
            pass
        table: list[Row] = []
        for kind, words in searches.items():
            with served_bundle(bundle, Path(folder) / "data") as service:
                if not table:
                    start = processor_seconds(service.process_id)
                    most = MOST_START_SECONDS if is_many else None
                    table.append(Row("start until ready", start, "processor s", "lower", most))
                    table.append(Row("resident memory when ready", service.resident_mib(), "MiB", "lower"))
                first = asyncio.run(search_ms(service, words, 1))
                later = asyncio.run(search_ms(service, words, NUM_LATER))
            most = MOST_SEARCH_MS if is_many else None
            table.append(Row(f"search of {kind}: first", first, "ms", "lower", most))
            table.append(Row(f"search of {kind}: later", later, "ms", "lower", most))
    return f"a made shop of {num_items:,} items, preset {PARALLEL}, without encoders", table


def flags() -> ArgumentParser:
    """The benchmark's own flags."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--items", type=int, metavar="N", help="number of items (default: 1,000,000)")
    return parser


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, flags()))
