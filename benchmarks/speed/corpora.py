"""Items and histories to measure speed on: real ones if the shared data is there, else made ones.

The real ones are in CLAIRO_SHARED, or in a folder `shared` beside the checkout. A corpus's name tells which it is.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from benchmarks.repository import SHARED
from clairo_core.features import FeatureSpace, collision_capacity, feature_sets_with_collision_index
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.vocabulary import Vocabulary
from training.vocabulary.learn_vocabulary import learn_vocabulary

NUM_CODES = 256


@dataclass(frozen=True)
class Corpus:
    """Items as feature sets, and users' histories of them."""

    name: str
    feature_sets: Int32[np.ndarray, "item category"]
    space: FeatureSpace
    sequences: ItemSequences

    @property
    def num_categories(self) -> int:
        """Features per item."""
        return len(self.space.category_sizes)

    def learn(self, vocabulary_size: int) -> Vocabulary:
        """Learn a vocabulary of this corpus."""
        return learn_vocabulary(
            self.feature_sets, self.space.category_names, self.space.category_sizes, self.sequences, vocabulary_size
        )

    def learn_rules(self, num_rules: int) -> Vocabulary:
        """Learn a vocabulary with this many merge rules."""
        return self.learn(2 + self.space.num_features + num_rules)

    def part(self, num_sequences: int) -> "Corpus":
        """The corpus with only its first sequences."""
        part = self.sequences.select(np.arange(min(num_sequences, len(self.sequences))))
        return replace(self, name=f"{self.name}, {len(part):,} histories", sequences=part)


def instruments(modalities: tuple[str, ...]) -> Corpus:
    """Instruments' training sequences, with four codes per modality and a collision index; else a made corpus."""
    folder = SHARED / "data" / "amazon2018_instruments_mql"
    if not folder.is_dir():
        return made_corpus(102_000, num_items=6250, num_codebooks=4 * len(modalities))
    semantic_ids, sequences = dataset_of(folder, modalities)
    if semantic_ids is None:
        raise SystemExit(f"{folder} has no codes of {modalities}; remove it to measure on a made corpus")
    return coded_corpus(f"Instruments, {' and '.join(modalities)} codes", semantic_ids, sequences)


def long_histories() -> Corpus:
    """MovieLens' histories, up to 2,368 items long, with made codes; else made histories of such lengths."""
    folder = SHARED / "data" / "movielens_small_posters"
    if folder.is_dir():
        _, sequences = dataset_of(folder, ())
        return coded_corpus("MovieLens, made codes", made_codes(int(sequences.items.max()) + 1, 4), sequences)
    lengths = np.random.default_rng(0).lognormal(4.3, 1.1, size=600).astype(np.int64).clip(20, 2500)
    return coded_corpus("made, long histories", made_codes(9000, 4), zipf_sequences(lengths, 9000))


def dataset_of(folder: Path, code_columns: tuple[str, ...]) -> tuple[np.ndarray | None, ItemSequences]:
    """Load a dataset's codes and training sequences."""
    # Imported here: a process that measures the memory of learning must not hold table readers.
    from training.datasets import load_dataset  # noqa: PLC0415
    from training.evaluation.split import training_sequences  # noqa: PLC0415

    dataset = load_dataset(folder, code_columns=code_columns)
    return dataset.semantic_ids, training_sequences(dataset)


def made_corpus(num_interactions: int, num_items: int, num_codebooks: int) -> Corpus:
    """Histories of 2 to 14 items whose popularity follows Zipf's law."""
    lengths = np.random.default_rng(1).integers(2, 15, size=num_interactions // 8)
    sequences = zipf_sequences(lengths, num_items)
    return coded_corpus(f"made, {len(sequences.items):,} interactions", made_codes(num_items, num_codebooks), sequences)


def zipf_sequences(lengths: np.ndarray, num_items: int) -> ItemSequences:
    """Draw sequences of these lengths, item r in proportion to 1 / (r + 1)."""
    cumulative = np.cumsum(1 / np.arange(1, num_items + 1))
    drawn = np.random.default_rng(2).random(int(lengths.sum())) * cumulative[-1]
    return ItemSequences.from_lengths(np.searchsorted(cumulative, drawn), lengths)


def made_codes(num_items: int, num_codebooks: int) -> np.ndarray:
    """Draw codes with skewed frequencies, as those of real items."""
    return np.random.default_rng(3).zipf(1.2, size=(num_items, num_codebooks)) % NUM_CODES


def coded_corpus(name: str, semantic_ids: np.ndarray, sequences: ItemSequences) -> Corpus:
    """A corpus whose feature sets are the codes and a collision index."""
    feature_sets, space = feature_sets_with_collision_index(
        semantic_ids, [NUM_CODES] * semantic_ids.shape[1], collision_capacity(semantic_ids)
    )
    return Corpus(name, feature_sets, space, sequences)
