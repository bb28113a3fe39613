"""What `speed.generate` measures on: a catalogue with histories, a random T5, and our recommenders around it.

Knows data sets, vocabularies and checkpoints; knows nothing of clocks or rivals.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int32
from transformers import T5Config, T5ForConditionalGeneration

from benchmarks.repository import SHARED
from clairo_core.build_recommender import build_recommender
from clairo_core.catalogue import build_catalogue
from clairo_core.features import FeatureSpace, collision_capacity, feature_sets_with_collision_index
from clairo_core.generation.recorded.cuda_graphs import CudaRecorder
from clairo_core.generation.t5.generator import Generator, load_generator
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import EOS, PAD
from training.datasets import load_dataset
from training.evaluation.split import training_sequences
from training.vocabulary.learn_vocabulary import learn_vocabulary

INSTRUMENTS = SHARED / "data" / "amazon2018_instruments_mql"
SERVED, HALF, WHOLE = "ours reachable fp32", "ours reachable bf16", "ours vocabulary fp32"
NUM_BEAMS = 50
NUM_VIEWS = 5
MAX_HISTORY_ITEMS = 20
BATCH = 16


@dataclass(frozen=True)
class Corpus:
    """Items and histories to measure on."""

    name: str
    feature_sets: Int32[np.ndarray, "item category"]
    space: FeatureSpace
    sequences: ItemSequences


@dataclass(frozen=True)
class Contest:
    """One vocabulary: our recommenders, and the model that the rivals run."""

    label: str
    recommenders: dict[str, Recommender]
    """By name: SERVED, HALF and WHOLE; their weights are the same."""
    model: T5ForConditionalGeneration
    requests: list[RecommendationRequest]


def load_corpus() -> Corpus:
    """Instruments, or made codes with popular and rare items."""
    if INSTRUMENTS.is_dir():
        dataset = load_dataset(INSTRUMENTS, code_columns=["text"])
        name, semantic_ids, sequences = dataset.name, dataset.semantic_ids, training_sequences(dataset)
    else:
        random = np.random.default_rng(0)
        name = "made: 6,250 items, 17,000 histories"
        semantic_ids = random.integers(256, size=(6250, 4)).astype(np.int32)
        lengths = random.integers(3, 12, size=17_000)
        sequences = ItemSequences.from_lengths(random.zipf(1.3, size=lengths.sum()) % 6250, lengths)
    if semantic_ids is None:
        raise SystemExit(f"{INSTRUMENTS} has no text codes; remove it to measure on a made catalogue")
    feature_sets, space = feature_sets_with_collision_index(
        semantic_ids, [256] * semantic_ids.shape[1], collision_capacity(semantic_ids)
    )
    return Corpus(name, feature_sets, space, sequences)


def contest_of(corpus: Corpus, vocabulary_size: int, folder: Path, device: str = "cpu") -> Contest:
    """Learn a vocabulary, draw a T5, and put both sides together; on a GPU, ours records its searches now."""
    vocabulary = learn_vocabulary(
        corpus.feature_sets,
        corpus.space.category_names,
        corpus.space.category_sizes,
        corpus.sequences,
        vocabulary_size,
    )
    model = random_t5(vocabulary.size)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(vocabulary)
    item_ids = [str(row) for row in range(len(corpus.feature_sets))]
    catalogue = build_catalogue(item_ids, corpus.feature_sets, tokenizer)
    exact, half = (load_generator(folder, device, dtype=dtype) for dtype in ("float32", "bfloat16"))
    long_enough = [row for row, length in enumerate(corpus.sequences.lengths) if length >= 5]
    histories = [corpus.sequences[row][-MAX_HISTORY_ITEMS:] for row in long_enough[: 2 * BATCH]]
    return Contest(
        f"{vocabulary_size // 1000}k vocabulary",
        {
            name: build_recommender(
                catalogue,
                tokenizer,
                Generator(dataclasses.replace(generator.config, softmax=softmax), generator.weights),
                np.zeros(len(catalogue), dtype=np.int64),
                num_views=NUM_VIEWS,
                num_beams=NUM_BEAMS,
                max_history_items=MAX_HISTORY_ITEMS,
                recorder=CudaRecorder(generator.device) if generator.device.type == "cuda" else None,
            )
            for name, generator, softmax in (
                (SERVED, exact, Softmax.REACHABLE),
                (HALF, half, Softmax.REACHABLE),
                (WHOLE, exact, Softmax.VOCABULARY),
            )
        },
        model,
        [
            RecommendationRequest(
                history=UserHistory(tuple(item_ids[row] for row in history)), limit=10, include_seen=True
            )
            for history in histories
        ],
    )


def random_t5(vocab_size: int) -> T5ForConditionalGeneration:
    """A T5 of the published shape, with random weights that are always the same."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=vocab_size,
        d_model=128,
        d_kv=64,
        d_ff=1024,
        num_layers=4,
        num_heads=6,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
    )
    return T5ForConditionalGeneration(config).eval()
