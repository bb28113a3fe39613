"""Which image encoder finds a held-out poster's words: learned on the catalogue, or built-in descriptors.

    python -m benchmarks.accuracy.image_encoder [--json FILE] [--quick]

MovieLens posters and their films' words, a tenth of the films held out of everything that is fitted. Words are the
built-in text encoder's. For the held-out films, each poster is to find its own words among 100 (its group of a seeded
order); reading by chance is 1%. Every image encoder is brought onto the text embeddings by a ridge regression fitted
on the other films, penalty chosen by leave-one-out error; both encoders together are their embeddings side by side.
Needs `shared/data/movielens_small_posters` beside the checkout (or CLAIRO_SHARED). One thread, about five minutes.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import normalize

from benchmarks.report import Row, run_benchmark
from benchmarks.repository import SHARED
from clairo_core.encoders import BuiltinImageEncoder, BuiltinTextEncoder, ModalityEmbeddings
from clairo_core.items import Item
from training.config.preset import EncodeSettings
from training.datasets.described_dataset import load_described_dataset
from training.datasets.shared_folders import describe_shared_folder
from training.items.fit_image_encoder import fit_image_encoder
from training.workbench.progress_bar import progress_bar

DATA = SHARED / "data" / "movielens_small_posters"
AMONG = 100
HELD_OUT_SHARE = 0.1
_PENALTIES = np.logspace(-3, 4, 15)


def found_words(
    pictures: Float[np.ndarray, "item dim"], words: Float[np.ndarray, "item text"], is_held_out: np.ndarray
) -> tuple[float, float]:
    """The share of held-out pictures whose own words are first, and in the first ten, among 100."""
    mean, word_mean = pictures[~is_held_out].mean(axis=0), words[~is_held_out].mean(axis=0)
    scale = pictures[~is_held_out].std() or 1.0
    ridge = RidgeCV(_PENALTIES, fit_intercept=False)
    ridge.fit((pictures[~is_held_out] - mean) / scale, words[~is_held_out] - word_mean)
    predicted = normalize(ridge.predict((pictures[is_held_out] - mean) / scale))
    true = normalize(words[is_held_out] - word_mean)
    order = np.random.default_rng(1).permutation(len(true))
    groups = [order[start : start + AMONG] for start in range(0, len(order) - AMONG + 1, AMONG)]
    ranks = []
    for group in groups:
        similarity = predicted[group] @ true[group].T
        ranks.append((similarity > np.diag(similarity)[:, None]).sum(axis=1))
    places = np.concatenate(ranks)
    return float((places < 1).mean()), float((places < 10).mean())


def rows(quick: bool) -> tuple[str, list[Row]]:
    """What was measured on, and the table."""
    if not DATA.is_dir():
        return (
            "nothing measured: it needs shared/data/movielens_small_posters beside the checkout, or CLAIRO_SHARED",
            [],
        )
    torch.set_num_threads(1)
    items = [
        item
        for item in load_described_dataset(describe_shared_folder(DATA)).items
        if item.picture is not None and item.text
    ]
    if quick:
        items = items[:1_500]
    is_held_out = np.random.default_rng(0).random(len(items)) < HELD_OUT_SHARE
    learned_from = [item for item, held_out in zip(items, is_held_out, strict=True) if not held_out]
    text_encoder = BuiltinTextEncoder.fit(learned_from, dim=128)
    words = text_encoder.encode(items)
    builtin, builtin_seconds = encoded_by_builtin(learned_from, items)
    epochs = 4 if quick else EncodeSettings().learned_epochs
    learned, learned_seconds = encoded_by_learned(learned_from, items, words, is_held_out, epochs)
    usable = builtin.is_present & learned.is_present & words.is_present
    table = []
    for name, vectors in (
        ("builtin-image", builtin.vectors),
        ("learned-image", learned.vectors),
        ("both side by side", np.hstack([balanced(builtin.vectors), balanced(learned.vectors)])),
    ):
        first, in_ten = found_words(vectors[usable], words.vectors[usable], is_held_out[usable])
        table += [
            Row(f"{name}: own words first among {AMONG}", first, "", "higher"),
            Row(f"{name}: own words in the first 10 of {AMONG}", in_ten, "", "higher"),
        ]
    table += [
        Row("builtin-image: fitting and encoding all", builtin_seconds, "s", "lower"),
        Row(f"learned-image: training {epochs} epochs and encoding all", learned_seconds, "s", "lower"),
    ]
    held_out_count = int(is_held_out[usable].sum())
    data = f"MovieLens, {len(items):,} films with poster and words, {held_out_count} held out; words: builtin-text"
    return data, table


def balanced(vectors: Float[np.ndarray, "item dim"]) -> Float[np.ndarray, "item dim"]:
    """Around the mean, at a mean squared length of 1."""
    centred = vectors - vectors.mean(axis=0)
    return np.asarray(centred / np.sqrt(np.square(centred).sum(axis=1).mean()))


def encoded_by_builtin(learned_from: list[Item], items: list[Item]) -> tuple[ModalityEmbeddings, float]:
    """Every item's descriptors, and how long that took."""
    started = time.perf_counter()
    encoder = BuiltinImageEncoder.fit(learned_from, progress=progress_bar)
    return encoder.encode(items, progress_bar), time.perf_counter() - started


def encoded_by_learned(
    learned_from: list[Item], items: list[Item], words: ModalityEmbeddings, is_held_out: np.ndarray, epochs: int
) -> tuple[ModalityEmbeddings, float]:
    """Every item's embedding by a network trained on those that are not held out, and how long that took."""
    started = time.perf_counter()
    with TemporaryDirectory() as folder:
        encoder = fit_image_encoder(
            Path(folder),
            learned_from,
            ModalityEmbeddings(words.vectors[~is_held_out], words.is_present[~is_held_out]),
            EncodeSettings(learned_epochs=epochs),
            torch.device("cpu"),
            0,
            progress=progress_bar,
            report=lambda message: print(message, file=sys.stderr),
        )
    return encoder.encode(items, progress_bar), time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(run_benchmark(rows))
