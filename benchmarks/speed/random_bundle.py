"""Write a bundle to serve, and its requests: the catalogue of `speed.generate`, a random T5."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.speed.corpora import Corpus
from benchmarks.speed.generate_contest import SERVED, contest_of
from clairo_core.bundle.write_bundle import BundleParts, write_bundle
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.items import Item

VOCABULARY_SIZE = 10_000


def write_random_bundle(corpus: Corpus, folder: Path) -> None:
    """Write a bundle without encoders; its generator has the published shape and the softmax over reachable tokens."""
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


def different_bodies(histories: Sequence[Sequence[str]]) -> Iterator[bytes]:
    """Bodies of requests without end, no two alike."""
    for seed in itertools.count():
        for history in histories:
            yield json.dumps({"history": history, "limit": 10, "include_seen": True, "seed": seed}).encode()


def repeated_bodies(histories: Sequence[Sequence[str]], num_different: int) -> Iterator[bytes]:
    """The same few bodies over and over."""
    return itertools.cycle(itertools.islice(different_bodies(histories), num_different))
