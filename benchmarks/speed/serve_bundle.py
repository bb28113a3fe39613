"""Write a bundle for `speed.serve` and `shop.soak`: the catalogue of `speed.generate`, a random T5.

Knows bundles and request bodies; knows nothing of processes or clocks.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.speed.generate_contest import MAX_HISTORY_ITEMS, SERVED, Corpus, contest_of
from clairo_core.bundle.write_bundle import BundleParts, write_bundle
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.items import Item

VOCABULARY_SIZE = 10_000


def write_random_bundle(corpus: Corpus, folder: Path) -> None:
    """A bundle without encoders, whose generator is of the published shape and scores what can be reached."""
    with TemporaryDirectory() as checkpoint:
        contest = contest_of(corpus, VOCABULARY_SIZE, Path(checkpoint))
        config = Path(checkpoint) / "config.json"
        fields = json.loads(config.read_text(encoding="utf-8"))
        config.write_text(json.dumps(fields | {"softmax": Softmax.REACHABLE}), encoding="utf-8")
        recommender = contest.recommenders[SERVED]
        write_bundle(
            folder,
            BundleParts(
                preset="benchmark",
                dataset_name=corpus.name,
                dataset_fingerprint="benchmark",
                vocabulary=recommender.tokenizer.vocabulary,
                catalogue=recommender.catalogue,
                popularity=np.bincount(corpus.sequences.items, minlength=len(recommender.catalogue)),
                items=[
                    Item(item_id=item_id, texts={"title": f"Item {item_id}"})
                    for item_id in recommender.catalogue.item_ids
                ],
                generator_folder=Path(checkpoint),
            ),
        )


def histories_of(corpus: Corpus) -> list[list[str]]:
    """Item ids of the newest items of every history of five and more."""
    rows = [row for row, length in enumerate(corpus.sequences.lengths) if length >= 5]
    return [[str(item) for item in corpus.sequences[row][-MAX_HISTORY_ITEMS:]] for row in rows]


def different_bodies(histories: Sequence[Sequence[str]]) -> Iterator[bytes]:
    """Requests without end, no two alike."""
    for seed in itertools.count():
        for history in histories:
            yield json.dumps({"history": history, "limit": 10, "include_seen": True, "seed": seed}).encode()


def repeated_bodies(histories: Sequence[Sequence[str]], num_different: int) -> Iterator[bytes]:
    """The same few requests over and over."""
    return itertools.cycle(itertools.islice(different_bodies(histories), num_different))
