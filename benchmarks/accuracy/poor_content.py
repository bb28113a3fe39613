"""Post new items whose picture or words are missing, poor or misleading: how many are still found?

    python -m benchmarks.accuracy.poor_content [--data NAME] [--draws N] [--set KEY=VALUE ...] [--json FILE] [--quick]

The protocol of `accuracy.cold_items`: a twentieth of the items is held out of all training, then added by the code of
POST /items, once with their whole content and once for each kind of poor content. Recall@10 of the users whose last
item was held out, seen items masked. Items with neither picture nor words are found by chance alone: compare the other
rows with that one.
"""

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from benchmarks.accuracy.cold_items import (
    Draw,
    LastItems,
    dense_recall,
    draw_flags,
    drawn,
    last_items,
    recall,
    share_of_new,
    with_posted,
)
from benchmarks.accuracy.datasets import open_pictured_shop
from benchmarks.accuracy.training_runs import QUICK
from benchmarks.report import Row, run_benchmark
from clairo_core.items import Item

LETTERS = "abcdefghijklmnopqrstuvwxyz"
OTHER_ALPHABET = "тлавнкузиджршпосыебяфцхмгч"
"""Other letters in another order: a language without a single word of training."""


def one_colour() -> bytes:
    """A white picture."""
    file = io.BytesIO()
    Image.new("RGB", (300, 300), "white").save(file, "PNG")
    return file.getvalue()


def in_another_language(item: Item) -> Item:
    """The same words in an alphabet that training never saw."""
    table = str.maketrans(LETTERS + LETTERS.upper(), OTHER_ALPHABET + OTHER_ALPHABET.upper())
    return replace(item, texts={name: text.translate(table) for name, text in item.texts.items()})


ONE_ITEM: dict[str, Callable[[Item], Item]] = {
    "whole": lambda item: item,
    "no picture": lambda item: replace(item, picture=None),
    "no words": lambda item: replace(item, texts={}),
    "neither": lambda item: replace(item, picture=None, texts={}),
    "picture of one colour": lambda item: replace(item, picture=one_colour()),
    "words in another language": in_another_language,
}
TWO_ITEMS: dict[str, Callable[[Item, Item], Item]] = {
    "picture of another new item": lambda item, other: replace(item, picture=other.picture),
    "words of another new item": lambda item, other: replace(item, texts=other.texts),
}


def posted_in_every_way(draw: Draw) -> dict[str, Sequence[Item]]:
    """The held-out items in each kind of poor content, by its name."""
    whole = [draw.dataset.items[row] for row in np.flatnonzero(draw.is_cold)]
    others = [*whole[1:], whole[0]]
    ways: dict[str, Sequence[Item]] = {name: [change(item) for item in whole] for name, change in ONE_ITEM.items()}
    ways |= {name: list(map(change, whole, others)) for name, change in TWO_ITEMS.items()}
    twins = [replace(item, item_id=f"{item.item_id}, posted before it by somebody else") for item in whole]
    return ways | {"whole, and a twin of each": [item for pair in zip(twins, whole, strict=True) for item in pair]}


def figures_of(draw: Draw, items: Sequence[Item], asked: LastItems) -> dict[str, float]:
    """Figures of one kind of content."""
    after, described, _ = with_posted(draw.bundle, draw.before, items)
    feature_sets = {tuple(row) for row in after.catalogue.feature_sets.tolist()}
    missing = [bool(item.missing_modalities) for item in described]
    return {
        "cold Recall@10, together": recall(after, asked, asked.cold),
        "cold Recall@10, dense head": dense_recall(after, asked, asked.cold),
        "share of new items among all places": share_of_new(draw.before, after, asked.histories),
        "items flagged as lacking a modality": float(np.mean(missing)),
        "feature sets that two items share": float(len(after.catalogue) - len(feature_sets)),
    }


def rows(*, data: str, draws: int, settings: Sequence[str], quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and average the figures over draws."""
    dataset = open_pictured_shop(data)
    measured: dict[str, list[dict[str, float]]] = {}
    num_users = 0
    for seed in range(1 if quick else draws):
        draw = drawn(dataset, seed, [*settings, *(QUICK if quick else ())])
        asked = last_items(draw)
        num_users += len(asked.cold)
        for content, items in posted_in_every_way(draw).items():
            measured.setdefault(content, []).append(figures_of(draw, items, asked))
    table = []
    for content, of_draws in measured.items():
        for label in of_draws[0]:
            better = "lower" if "share" in label else "higher"
            mean = float(np.mean([figures[label] for figures in of_draws]))
            table.append(Row(f"{content}: {label}", mean, "", better))
    return f"{dataset.name}, {num_users} users whose last item was held out, builtin-text and builtin-image", table


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, draw_flags("demo", 2)))
