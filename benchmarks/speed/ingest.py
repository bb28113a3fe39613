"""Time POST /items with a picture: by part, in bulk, and until the item can be recommended.

    python -m benchmarks.speed.ingest [--json FILE] [--quick]

Needs bundles/demo of `make demo-bundle`. The service's parts are timed in this process, one after the other; the whole
is a POST over HTTP to a service in its own process. The picture is a JPEG of 1,000 x 1,000 pixels. Each time has the
fastest and the median of many items. Musts apply to the fastest: other work on the machine only ever adds to a time,
and the median shows how busy the machine was.
"""

import asyncio
import io
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import httpx
import numpy as np
from PIL import Image

from benchmarks.report import Row, run_benchmark
from benchmarks.repository import DEMO_BUNDLE
from benchmarks.service.service_process import served_bundle
from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.encoders import ModalityEmbeddings
from clairo_core.encoders.pictures import decode_picture
from clairo_core.features import FeatureSpace, nearest_free_feature_set
from clairo_core.items import Item
from clairo_core.quantizers.nearest_codes import nearest_codes
from clairo_core.recommender import Recommender
from clairo_core.tokens.tokenizer import Tokenizer
from service.app import open_parts
from service.settings import Settings
from service.store.store import StoredFeatures

PHOTO_SIDE = 1_000
CHUNK_ITEMS = 500
Result = TypeVar("Result")
PARTS = ("decode", "encode", "quantize", "catalogue and trie", "store")


@dataclass
class Stopwatch:
    """Seconds by name, one entry per call."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, call: Callable[[], Result]) -> Result:
        """Call, and record the seconds."""
        started = time.perf_counter()
        result = call()
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)
        return result

    def median_ms(self, name: str) -> float:
        """Median milliseconds of all calls."""
        return 1e3 * float(np.median(self.seconds[name]))

    def least_ms(self, name: str) -> float:
        """Milliseconds of the fastest call."""
        return 1e3 * min(self.seconds[name])


@dataclass
class _Taken:
    """Feature sets of a catalogue, and those about to be added to it."""

    of_catalogue: Container[tuple[int, ...]]
    added: set[tuple[int, ...]] = field(default_factory=set)

    def __contains__(self, feature_set: object) -> bool:
        return feature_set in self.added or feature_set in self.of_catalogue


def new_items(bundle: Bundle, count: int, prefix: str, side: int) -> list[Item]:
    """Make new items like the bundle's own, each with a photo of `side` pixels."""
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        row = number % len(bundle.items)
        with Image.open(io.BytesIO(bundle.read_picture(row) or b"")) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), np.int16)
        # Camera grain: without it the JPEG would decode faster than a photo.
        noisy = (pixels + random.integers(-8, 9, pixels.shape)).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(noisy).save(file, "JPEG", quality=88)
        texts = {"title": f"{bundle.items[row].title} {number}", "description": bundle.items[row].text}
        found.append(Item(item_id=f"{prefix}-{number}", texts=texts, picture=file.getvalue()))
    return found


async def measure_parts(bundle: Bundle, items: Sequence[Item], data_dir: Path) -> Stopwatch:
    """Time each part alone, then all as the service combines them, on a database in a file."""
    watch = Stopwatch()
    settings = Settings(bundle=bundle.folder, data_dir=data_dir, device="cpu", num_views=1, num_beams=10)
    space = FeatureSpace(bundle.vocabulary.category_names, bundle.vocabulary.category_sizes)
    async with open_parts(settings, bundle) as parts:
        recommender = parts.served.live.recommender
        tokenizer = recommender.tokenizer
        half = len(items) // 2
        for item in items[:half]:
            picture = item.read_picture() or b""
            watch.time("decode", partial(decode_picture, picture))
            embeddings = watch.time("encode", partial(encoded, bundle, item))
            taken = recommender.catalogue.taken
            feature_set, item_embedding = watch.time(
                "quantize", partial(quantized, bundle, embeddings, taken, space, tokenizer)
            )

            def grow(
                item_id: str = item.item_id,
                feature_set: tuple[int, ...] = feature_set,
                item_embedding: np.ndarray = item_embedding,
                before: Recommender = recommender,
            ) -> Recommender:
                catalogue = before.catalogue.with_items([item_id], [feature_set], tokenizer)
                return before.with_catalogue(catalogue, item_embedding[None])

            grown = watch.time("catalogue and trie", grow)
            features = StoredFeatures(parts.served.live.bundle_id, feature_set, item_embedding, ())
            started = time.perf_counter()
            await parts.store.add_item(item, features)
            watch.seconds.setdefault("store", []).append(time.perf_counter() - started)
            recommender = grown  # type: ignore[assignment]
        await parts.served.ingestion.catch_up()
        for item in items[half:]:
            started = time.perf_counter()
            await parts.served.ingestion.add_item(item)
            watch.seconds.setdefault("all parts", []).append(time.perf_counter() - started)
    return watch


def encoded(bundle: Bundle, item: Item) -> dict[str, ModalityEmbeddings]:
    """Encode one item by every encoder."""
    return {modality: encoder.encode([item]) for modality, encoder in bundle.encoders.items()}


def quantized(
    bundle: Bundle,
    embeddings: Mapping[str, ModalityEmbeddings],
    taken: Container[tuple[int, ...]],
    space: FeatureSpace,
    tokenizer: Tokenizer,
) -> tuple[tuple[int, ...], np.ndarray]:
    """Fuse and quantize, as `Bundle.describe` does after encoding."""
    if bundle.fusion is None or bundle.quantizer is None:
        raise SystemExit(f"{bundle.folder} was trained on precomputed codes; remove it and run make demo-bundle")
    fused = bundle.fusion.fuse(embeddings)
    nearest = nearest_codes(bundle.quantizer, fused.item_embeddings[0])
    feature_set = nearest_free_feature_set(nearest, taken, space)
    tokenizer.encode_canonical(bundle.vocabulary.feature_tokens(np.array([feature_set], dtype=np.int32)))
    return feature_set, fused.item_embeddings[0]


def measure_bulk(bundle: Bundle, count: int) -> tuple[float, float, float]:
    """Items per second from content to catalogue and trie, in chunks without a store: overall, encoding, the rest."""
    # A hundred pictures with different words: drawing ten thousand would take longer than reading them.
    pictures = [item.picture for item in new_items(bundle, min(count, 100), "bulk", 256)]
    recommender = bundle.recommender("cpu", num_views=1, num_beams=10)
    space = FeatureSpace(bundle.vocabulary.category_names, bundle.vocabulary.category_sizes)
    assert bundle.fusion is not None
    assert bundle.quantizer is not None
    encoding = growing = 0.0
    taken = _Taken(recommender.catalogue.taken)
    for start in range(0, count, CHUNK_ITEMS):
        numbers = range(start, min(start + CHUNK_ITEMS, count))
        items = [
            Item(
                item_id=f"bulk-{number}",
                texts={"title": f"{bundle.items[number % len(bundle.items)].title} {number}"},
                picture=pictures[number % len(pictures)],
            )
            for number in numbers
        ]
        started = time.perf_counter()
        embeddings = {name: encoder.encode(items) for name, encoder in bundle.encoders.items()}
        encoded = time.perf_counter()
        feature_sets = []
        item_embeddings = bundle.fusion.fuse(embeddings).item_embeddings
        for embedding in item_embeddings:
            feature_sets.append(nearest_free_feature_set(nearest_codes(bundle.quantizer, embedding), taken, space))
            taken.added.add(feature_sets[-1])
        catalogue = recommender.catalogue.with_items(
            [item.item_id for item in items], feature_sets, recommender.tokenizer
        )
        recommender = recommender.with_catalogue(catalogue, item_embeddings)
        encoding += encoded - started
        growing += time.perf_counter() - encoded
    return count / (encoding + growing), count / encoding, count / growing


def measure_http(bundle: Bundle, items: Sequence[Item], data_dir: Path) -> Stopwatch:
    """Time POST /items, and POST /recommend right after it, on a service in its own process."""
    watch = Stopwatch()
    history = list(bundle.catalogue.item_ids[:5])
    with served_bundle(DEMO_BUNDLE, data_dir) as service, httpx.Client(base_url=service.url, timeout=120) as client:
        for item in items:
            started = time.perf_counter()
            answer = client.post(
                "/items",
                data={"item_id": item.item_id, "title": item.title},
                files={"picture": ("photo.jpg", item.read_picture() or b"", "image/jpeg")},
            )
            answer.raise_for_status()
            watch.seconds.setdefault("post", []).append(time.perf_counter() - started)
            # The item is in the trie now, so this request can return it.
            client.post("/recommend", json={"history": history, "limit": 10}).raise_for_status()
            watch.seconds.setdefault("recommend", []).append(time.perf_counter() - started)
    return watch


def rows(quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and time parts, service and bulk."""
    if not (DEMO_BUNDLE / "manifest.json").is_file():
        return f"nothing measured: {DEMO_BUNDLE} is missing; run: make demo-bundle", []
    bundle = load_bundle(DEMO_BUNDLE)
    count = 20 if quick else 60
    with TemporaryDirectory() as folder:
        items = new_items(bundle, count, "part", PHOTO_SIDE)
        watch = asyncio.run(measure_parts(bundle, items, Path(folder) / "parts"))
        posted = measure_http(bundle, new_items(bundle, count // 2, "http", PHOTO_SIDE), Path(folder) / "http")
    bulk_count = 1_000 if quick else 10_000
    bulk, bulk_encoding, bulk_growing = measure_bulk(bundle, bulk_count)
    table = []
    for part in PARTS:
        table += [
            Row(f"{part}, median", watch.median_ms(part), "ms", "lower"),
            Row(f"{part}, fastest", watch.least_ms(part), "ms", "lower"),
        ]
    rest = [watch.least_ms(part) for part in PARTS[2:]]
    table += [
        Row("beyond decoding and encoding: fastest of the other three parts, summed", sum(rest), "ms", "lower", 20.0),
        Row("all parts together, as the service runs them, fastest", watch.least_ms("all parts"), "ms", "lower", 150.0),
        Row("all parts together, median", watch.median_ms("all parts"), "ms", "lower"),
        Row("POST /items over HTTP, fastest", posted.least_ms("post"), "ms", "lower", 150.0),
        Row("POST /items over HTTP, median", posted.median_ms("post"), "ms", "lower"),
        Row("from POST to the first answer that can return it, fastest", posted.least_ms("recommend"), "ms", "lower"),
        Row("from POST to the first answer that can return it, median", posted.median_ms("recommend"), "ms", "lower"),
        Row(f"bulk, {bulk_count:,} items of 256 pixels, no store", bulk, "items/s", "higher"),
        Row("bulk: encoding alone", bulk_encoding, "items/s", "higher"),
        Row("bulk: fuse, quantize, catalogue and trie alone", bulk_growing, "items/s", "higher"),
    ]
    encoders = ", ".join(bundle.manifest.encoders.values())
    data = f"{bundle.manifest.bundle_id} of {len(bundle.items):,} items, encoders {encoders}, photo of {PHOTO_SIDE} px"
    return data, table


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
