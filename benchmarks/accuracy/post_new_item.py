"""Post items that training never saw to a running service, and count how many are recommended.

    python -m benchmarks.accuracy.post_new_item [--json FILE] [--quick]

The items are MovieLens films with a poster and too few ratings to be trained on. Each is posted over HTTP with words
and poster. Then the service recommends for a history of the film's nearest neighbours among the bundle's own items. A
restart of the service in between must lose nothing. Needs a bundle that `clairo-train run` made from the same data.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np

from benchmarks.accuracy.datasets import MOVIELENS
from benchmarks.accuracy.training_runs import BUNDLES
from benchmarks.report import Row, run_benchmark
from benchmarks.service.service_process import served_bundle
from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.items import Item
from training.datasets.described_dataset import load_described_dataset
from training.datasets.shared_folders import describe_shared_folder

BUNDLE = BUNDLES / "movielens"
NUM_NEIGHBOURS = 10
TOP, LIST = 10, 50
CALL_SECONDS = 120


def left_out_items(bundle: Bundle, count: int) -> list[Item]:
    """A seeded sample of items with picture and words that the bundle lacks."""
    described = describe_shared_folder(MOVIELENS)
    everything = dataclasses.replace(described, rules=dataclasses.replace(described.rules, min_interactions=0))
    unknown = [
        item
        for item in load_described_dataset(everything).items
        if item.item_id not in bundle.catalogue and item.picture is not None and item.texts.get("overview")
    ]
    chosen = np.random.default_rng(0).permutation(len(unknown))[:count]
    return [unknown[place] for place in chosen]


def nearest_items(bundle: Bundle, item: Item) -> list[str]:
    """Ids of the bundle's items nearest to the item, nearest last, as a history."""
    if bundle.item_embeddings is None:
        raise SystemExit(f"{bundle.folder} was trained on precomputed codes; train it again on pictures and words")
    embedding = bundle.describe(item, frozenset()).item_embedding
    similarity = bundle.item_embeddings.item_embeddings @ embedding
    return [bundle.catalogue.item_ids[row] for row in np.argsort(similarity)[-NUM_NEIGHBOURS:]]


def recommended(client: httpx.Client, history: Sequence[str]) -> list[str]:
    """Ids of the recommended items, best first."""
    answer = client.post("/recommend", json={"history": list(history), "limit": LIST})
    answer.raise_for_status()
    return [entry["item_id"] for entry in answer.json()["items"]]


def post(client: httpx.Client, item: Item, item_id: str) -> None:
    """POST /items with words and picture, as multipart."""
    others = {name: text for name, text in item.texts.items() if name != "title"}
    answer = client.post(
        "/items",
        data={"item_id": item_id, "title": item.title, "texts": json.dumps(others)},
        files={"picture": ("poster.jpg", item.read_picture() or b"", "image/jpeg")},
    )
    answer.raise_for_status()


def in_top(found: Mapping[str, int]) -> list[str]:
    """Ids of the items found in the top 10."""
    return [item_id for item_id, rank in found.items() if rank <= TOP]


def title_of(bundle: Bundle, item_id: str) -> str:
    """The title of one of the bundle's items."""
    return bundle.items[bundle.catalogue.row_of(item_id)].title or item_id


def rows(*, quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and post the items."""
    if not MOVIELENS.is_dir() or not (BUNDLE / "manifest.json").is_file():
        train = f"clairo-train run --preset clairo --data {MOVIELENS} --out {BUNDLE}"
        return f"nothing measured: it needs {MOVIELENS}, and {BUNDLE} as made by: {train}", []
    bundle = load_bundle(BUNDLE)
    items = left_out_items(bundle, 40 if quick else 300)
    histories = {f"new:{item.item_id}": nearest_items(bundle, item) for item in items}
    with TemporaryDirectory() as name:
        data_dir = Path(name)
        with (
            served_bundle(BUNDLE, data_dir) as service,
            httpx.Client(base_url=service.url, timeout=CALL_SECONDS) as client,
        ):
            show_real_histories(client, bundle)
            seconds, found = [], {}
            for item in items:
                item_id = f"new:{item.item_id}"
                started = time.perf_counter()
                post(client, item, item_id)
                answer = recommended(client, histories[item_id])
                seconds.append(time.perf_counter() - started)
                if item_id in answer:
                    found[item_id] = answer.index(item_id) + 1
            for item in items:
                rank = found.get(f"new:{item.item_id}", LIST)
                if rank <= TOP:
                    titles = ", ".join(title_of(bundle, near) for near in histories[f"new:{item.item_id}"][-3:])
                    print(f"place {rank:2}: {item.texts.get('title')}  after  {titles}")
        with (
            served_bundle(BUNDLE, data_dir) as service,
            httpx.Client(base_url=service.url, timeout=CALL_SECONDS) as client,
        ):
            kept = sum(client.get(f"/items/new:{item.item_id}").status_code == httpx.codes.OK for item in items)
            again = sum(item_id in recommended(client, histories[item_id])[:TOP] for item_id in in_top(found))
    by_chance = TOP / (len(bundle.catalogue) + len(items))
    table = [
        Row("new items in the top 10 of a history of their neighbours", len(in_top(found)), "items", "higher", 1),
        Row("share of new items in the top 10", len(in_top(found)) / len(items), "", "higher"),
        Row("the same by chance", by_chance, "", "higher"),
        Row("share of new items in the top 50", len(found) / len(items), "", "higher"),
        Row("from POST /items to the answer of POST /recommend, median", float(np.median(seconds)), "s", "lower"),
        Row("share of posted items kept after a restart", kept / len(items), "", "higher", 1.0),
        Row(
            "share of items in a top 10 that are there again after a restart",
            again / max(1, len(in_top(found))),
            "",
            "higher",
        ),
    ]
    return f"{bundle.manifest.bundle_id}, {len(items)} items held out of training", table


def show_real_histories(client: httpx.Client, bundle: Bundle) -> None:
    """Print recommendations for three users of the data."""
    sequences = load_described_dataset(describe_shared_folder(MOVIELENS))
    for user in (0, len(sequences.user_ids) // 2, len(sequences.user_ids) - 1):
        history = [sequences.items[row].item_id for row in sequences.sequences[user]][-20:]
        print(f"user {sequences.user_ids[user]}, last: {', '.join(title_of(bundle, item) for item in history[-4:])}")
        answer = recommended(client, history)
        print("    recommended: " + ", ".join(title_of(bundle, item_id) for item_id in answer[:5]))


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
