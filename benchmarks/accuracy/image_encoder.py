"""Match held-out posters to their films' words: by the image encoder learned on the catalogue, or the built-in one.

    python -m benchmarks.accuracy.image_encoder [--device DEVICE] [--json FILE] [--quick]

MovieLens posters and their films' words; a tenth of the films is held out of every fit. Words are embedded by the
built-in text encoder. Each held-out poster ranks its own words among those of 100 films (its group of a seeded order);
chance is 1%. A ridge regression fitted on the other films maps image to text embeddings, its penalty chosen by
leave-one-out error. Both encoders together are their embeddings side by side. Needs
`shared/data/movielens_small_posters` beside the checkout (or CLAIRO_SHARED). One thread, about five minutes.
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

from benchmarks.accuracy.datasets import MOVIELENS
from benchmarks.report import Row, device_flags, run_benchmark
from clairo_core.encoders import BuiltinImageEncoder, BuiltinTextEncoder, ModalityEmbeddings
from clairo_core.generation.t5.generator import choose_device
from clairo_core.items import Item
from training.config.preset import EncodeSettings
from training.datasets.described_dataset import load_described_dataset
from training.datasets.shared_folders import describe_shared_folder
from training.items.fit_image_encoder import fit_image_encoder
from training.workbench.progress_bar import progress_bar

AMONG = 100
HELD_OUT_SHARE = 0.1
_PENALTIES = np.logspace(-3, 4, 15)


def found_words(
    pictures: Float[np.ndarray, "item dim"], words: Float[np.ndarray, "item text"], is_held_out: np.ndarray
) -> tuple[float, float]:
    """Shares of held-out pictures whose own words rank first, and in the top 10, among 100."""
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


def rows(*, device: str, quick: bool) -> tuple[str, list[Row]]:
    """Describe the data, and measure each encoder."""
    if not MOVIELENS.is_dir():
        return f"nothing measured: {MOVIELENS} is missing; set CLAIRO_SHARED to the folder that holds data/", []
    torch.set_num_threads(1)
    items = [
        item
        for item in load_described_dataset(describe_shared_folder(MOVIELENS)).items
        if item.picture is not None and item.text
    ]
    if quick:
        items = items[:1_500]
    is_held_out = np.random.default_rng(0).random(len(items)) < HELD_OUT_SHARE
    training_items = [item for item, held_out in zip(items, is_held_out, strict=True) if not held_out]
    text_encoder = BuiltinTextEncoder.fit(training_items, dim=128)
    words = text_encoder.encode(items)
    builtin, builtin_seconds = encoded_by_builtin(training_items, items)
    epochs = 4 if quick else EncodeSettings().learned_epochs
    learned, learned_seconds = encoded_by_learned(training_items, items, words, is_held_out, epochs, device)
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
            Row(f"{name}: own words in the top 10 of {AMONG}", in_ten, "", "higher"),
        ]
    table += [
        Row("builtin-image: fit and encode all", builtin_seconds, "s", "lower"),
        Row(f"learned-image: train {epochs} epochs and encode all", learned_seconds, "s", "lower"),
    ]
    held_out_count = int(is_held_out[usable].sum())
    data = f"MovieLens, {len(items):,} films with poster and words, {held_out_count} held out; words: builtin-text"
    return data, table


def balanced(vectors: Float[np.ndarray, "item dim"]) -> Float[np.ndarray, "item dim"]:
    """Centre, and scale to a mean squared length of 1."""
    centred = vectors - vectors.mean(axis=0)
    return np.asarray(centred / np.sqrt(np.square(centred).sum(axis=1).mean()))


def encoded_by_builtin(training_items: list[Item], items: list[Item]) -> tuple[ModalityEmbeddings, float]:
    """Descriptors of every item, and the seconds to fit and encode."""
    started = time.perf_counter()
    encoder = BuiltinImageEncoder.fit(training_items, progress=progress_bar)
    return encoder.encode(items, progress_bar), time.perf_counter() - started


def encoded_by_learned(
    training_items: list[Item],
    items: list[Item],
    words: ModalityEmbeddings,
    is_held_out: np.ndarray,
    epochs: int,
    device: str,
) -> tuple[ModalityEmbeddings, float]:
    """Embeddings of every item by a network trained on those not held out, and the seconds to train and encode."""
    started = time.perf_counter()
    with TemporaryDirectory() as folder:
        encoder = fit_image_encoder(
            Path(folder),
            training_items,
            ModalityEmbeddings(words.vectors[~is_held_out], words.is_present[~is_held_out]),
            EncodeSettings(learned_epochs=epochs),
            choose_device(device),
            0,
            progress=progress_bar,
            report=lambda message: print(message, file=sys.stderr),
        )
    return encoder.encode(items, progress_bar), time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(run_benchmark(rows, device_flags()))
