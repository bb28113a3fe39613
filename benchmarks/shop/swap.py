"""Import items in bulk, activate another bundle, and search: processor seconds, and the slowest answer meanwhile.

    python -m benchmarks.shop.swap [--json FILE] [--quick]

Needs bundles/demo of `make demo-bundle`. A service in its own process gets items with pictures, then
items with titles alone, and describes all of them again under the other bundle, while a client sends one POST
/recommend after the other. Times are the service's processor seconds, its processes for pictures included: other work
on the machine adds to the wall clock. Imports are quoted per second of two cores.
"""

import base64
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from PIL import Image

from benchmarks.report import Row, run_benchmark
from benchmarks.repository import DEMO_BUNDLE
from benchmarks.service.service_process import ServiceProcess, children_of, served_bundle
from benchmarks.shop.shelf import activation_path, fill_shelf
from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.selection.item_search import TextSearch

PICTURE_SIDE = 256
SEARCHED_TITLES = 1_000_000
NUM_CORES = 2
POLL_SECONDS = 0.2


def processor_seconds(service: ServiceProcess) -> float:
    """Processor seconds of the service and its processes so far, from Linux's /proc."""
    ticks = 0
    for process_id in (service.process_id, *children_of(service.process_id)):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            # Of itself, and of its children that have ended.
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def answers_of(url: str, history: list[str]) -> Iterator[list[float]]:
    """Send one POST /recommend after the other while the block runs; yields the growing list of their seconds."""
    seconds: list[float] = []
    has_ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=120) as client:
            for seed in range(10**9):
                started = time.perf_counter()
                client.post("/recommend", json={"history": history, "limit": 10, "seed": seed}).raise_for_status()
                seconds.append(time.perf_counter() - started)
                if has_ended.wait(POLL_SECONDS):
                    return

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield seconds
    finally:
        has_ended.set()
        asking.join()


def import_items(client: httpx.Client, service: ServiceProcess, lines: list[str]) -> float:
    """Import items in bulk. Returns the service's processor seconds."""
    before = processor_seconds(service)
    sent = client.post("/items/bulk", content="\n".join(lines), headers={"content-type": "application/x-ndjson"})
    sent.raise_for_status()
    while (job := client.get(sent.headers["location"]).json())["state"] != "done":
        time.sleep(POLL_SECONDS)
    if job["num_accepted"] != len(lines):
        raise SystemExit(f"{job['num_accepted']} of {len(lines)} items were imported: {job['rejected'][:3]}")
    return processor_seconds(service) - before


def lines_of(bundle: Bundle, prefix: str, count: int, pictures: list[str]) -> list[str]:
    """Items as JSON Lines; with `pictures`, each has one."""
    lines = []
    for number in range(count):
        item = {"item_id": f"{prefix}-{number}", "title": f"{bundle.items[number % len(bundle.items)].title} {number}"}
        if pictures:
            item["picture"] = pictures[number % len(pictures)]
        lines.append(json.dumps(item))
    return lines


def measure_service(folder: Path, num_pictures: int, num_titles: int) -> list[Row]:
    """Import with pictures and without, then activate another bundle under requests."""
    _, shelf = fill_shelf(folder / "shelf", DEMO_BUNDLE)
    bundle = load_bundle(DEMO_BUNDLE)
    pictures = [base64.b64encode(_jpeg(bundle.read_picture(row) or b"")).decode() for row in range(100)]
    history = list(bundle.catalogue.item_ids[:5])
    with (
        served_bundle(shelf.serving_folder, folder / "data", bundles_dir=shelf.folder) as service,
        httpx.Client(base_url=service.url, timeout=3600) as client,
    ):
        first = import_items(client, service, lines_of(bundle, "first", num_pictures, pictures))
        with_pictures = import_items(client, service, lines_of(bundle, "picture", num_pictures, pictures))
        titles = import_items(client, service, lines_of(bundle, "title", num_titles, []))
        with answers_of(service.url, history) as before:
            time.sleep(3)
        with answers_of(service.url, history) as seconds:
            started, begun = processor_seconds(service), time.perf_counter()
            client.post(activation_path(shelf.second)).raise_for_status()
            swap, wall = processor_seconds(service) - started, time.perf_counter() - begun
    posted = 2 * num_pictures + num_titles
    return [
        Row(
            f"bulk, {num_pictures:,} items with pictures", NUM_CORES * num_pictures / with_pictures, "items/s", "higher"
        ),
        Row("the same with the start of further processes", NUM_CORES * num_pictures / first, "items/s", "higher"),
        Row(f"bulk, {num_titles:,} items with titles", NUM_CORES * num_titles / titles, "items/s", "higher"),
        Row(f"swap with {posted:,} posted items, processor", swap, "s", "lower", 120.0),
        Row(f"swap with {posted:,} posted items, wall clock", wall, "s", "lower"),
        Row("slowest answer meanwhile", 1e3 * max(seconds), "ms", "lower", aim=1000.0),
        Row("median answer meanwhile", 1e3 * float(np.median(seconds)), "ms", "lower"),
        Row("slowest answer before", 1e3 * max(before), "ms", "lower"),
    ]


def _jpeg(picture: bytes) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as opened:
        opened.convert("RGB").resize((PICTURE_SIDE, PICTURE_SIDE)).save(file, "JPEG", quality=88)
    return file.getvalue()


class _Titles:
    """Rows that never change."""

    def __init__(self, titles: list[str]) -> None:
        self._titles = titles

    def version_of(self, block: int) -> object:
        """The same for all."""
        return self

    def texts_of(self, rows: range) -> list[str]:
        """Titles of rows."""
        return self._titles[rows.start : rows.stop]


def measure_search(num_titles: int) -> list[Row]:
    """Search made titles for a word that none has, and for one that some have."""
    random = np.random.default_rng(0)
    words = ["".join(letters) for letters in random.choice(list("abcdefghijklmnopqrstuvwxyz"), (5_000, 6))]
    chosen = random.integers(len(words), size=(num_titles, 6))
    titles = [f"item-{row}\n" + " ".join(words[word] for word in line) for row, line in enumerate(chosen.tolist())]
    search = TextSearch(_Titles(titles))

    def timed(call: Callable[[], object]) -> float:
        started = time.process_time()
        call()
        return 1e3 * (time.process_time() - started)

    first = timed(lambda: list(search.rows_with(["absent"], num_titles)))
    absent = min(timed(lambda: list(search.rows_with(["absent"], num_titles))) for _ in range(5))
    both = min(timed(lambda: list(search.rows_with(words[:2], num_titles))) for _ in range(5))
    mistyped = words[0][1::-1] + words[0][2:]
    timed(lambda: search.rows_like([mistyped], num_titles))
    similar = min(timed(lambda: search.rows_like([mistyped], num_titles)) for _ in range(5))
    scan = timed(lambda: [row for row, title in enumerate(titles) if "absent" in title])
    return [
        Row(f"search of {num_titles:,} titles, a word that none has", absent, "ms", "lower"),
        Row("the first search of all titles", first, "ms", "lower"),
        Row("two words that few titles have both", both, "ms", "lower"),
        Row("a mistyped word", similar, "ms", "lower", aim=60.0),
        Row("reading every title instead", scan, "ms", "lower"),
    ]


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and measure."""
    if not (DEMO_BUNDLE / "manifest.json").is_file():
        return f"nothing measured: {DEMO_BUNDLE} is missing; run: make demo-bundle", []
    with TemporaryDirectory() as folder:
        served = measure_service(Path(folder), 300 if quick else 5_000, 3_000 if quick else 90_000)
    searched = measure_search(100_000 if quick else SEARCHED_TITLES)
    return f"the demo bundle, JPEGs of {PICTURE_SIDE} pixels", [*served, *searched]


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
