"""Set up a generation contest: requests, a random T5, and our recommenders around it. Times nothing itself."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import T5Config, T5ForConditionalGeneration

from benchmarks.speed.corpora import Corpus
from clairo_core.build_recommender import build_recommender
from clairo_core.catalogue import build_catalogue
from clairo_core.generation.recorded.cuda_graphs import CudaRecorder
from clairo_core.generation.t5.generator import Generator, load_generator
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.generation.token_generator import TokenGenerator
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import EOS, PAD

SERVED, HALF, WHOLE = "ours reachable fp32", "ours reachable bf16", "ours vocabulary fp32"
NUM_BEAMS = 50
NUM_VIEWS = 5
MAX_HISTORY_ITEMS = 20
BATCH = 16


@dataclass(frozen=True)
class Contest:
    """Our recommenders of one vocabulary, and the model that the rivals run."""

    label: str
    recommenders: dict[str, Recommender]
    """By name: SERVED, HALF and WHOLE; they share their weights."""
    model: T5ForConditionalGeneration
    requests: list[RecommendationRequest]


def histories_of(corpus: Corpus) -> list[list[str]]:
    """Item ids of the newest items of every history of at least 5 items."""
    rows = [row for row, length in enumerate(corpus.sequences.lengths) if length >= 5]
    return [[str(item) for item in corpus.sequences[row][-MAX_HISTORY_ITEMS:]] for row in rows]


def contest_of(corpus: Corpus, vocabulary_size: int, folder: Path, device: str = "cpu") -> Contest:
    """Learn a vocabulary, draw a T5, and build both sides; on a GPU, ours records its searches here."""
    vocabulary = corpus.learn(vocabulary_size)
    model = random_t5(vocabulary.size)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(vocabulary)
    item_ids = [str(row) for row in range(len(corpus.feature_sets))]
    catalogue = build_catalogue(item_ids, corpus.feature_sets, tokenizer)
    exact, half = (load_generator(folder, device, dtype=dtype) for dtype in ("float32", "bfloat16"))
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
            RecommendationRequest(history=UserHistory(tuple(history)), limit=10, include_seen=True)
            for history in histories_of(corpus)[: 2 * BATCH]
        ],
    )


def random_t5(vocab_size: int) -> T5ForConditionalGeneration:
    """A T5 of the published shape, with fixed random weights."""
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


def top_tens(recommender: Recommender, requests: Sequence[RecommendationRequest]) -> list[set[str]]:
    """Item ids of each request's top 10."""
    return [{entry.item_id for entry in answer.items[:10]} for answer in recommender.recommend_batch(requests)]


def share_kept(expected: Sequence[set[str]], found: Sequence[set[str]]) -> float:
    """Share of the expected items that were found, in percent, averaged over requests."""
    return 100 * float(np.mean([len(one & other) / len(one) for one, other in zip(expected, found, strict=True)]))


def token_generator(recommender: Recommender) -> TokenGenerator:
    """The recommender's generator, which writes tokens in every contest."""
    assert isinstance(recommender.generator, TokenGenerator)
    return recommender.generator
