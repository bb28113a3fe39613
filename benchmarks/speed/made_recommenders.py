"""Make whole recommenders of any size: a generator of either kind, dense heads, counts and a mixture.

Items lie in groups, histories stay within one, and counts link items of a group. Weights are random, shapes are those
of the presets `clairo` and `clairo_token`: nothing is trained, so that a million items take a minute.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64
from scipy import sparse
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from clairo_core.build_recommender import build_recommender, recommender_of
from clairo_core.catalogue import build_catalogue
from clairo_core.features import collision_capacity, feature_sets_with_collision_index
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.generation.parallel.parallel_generator import parallel_generator
from clairo_core.generation.recorded.cuda_graphs import Recorder
from clairo_core.generation.t5.generator import Generator, dtype_of, load_generator
from clairo_core.generation.t5.generator_checkpoint import Softmax
from clairo_core.items import UserHistory
from clairo_core.ranking import NO_LIFTS, DenseHead, DenseHeads, ItemWeights, JointRanking, Mixture
from clairo_core.ranking.candidate_features import num_features
from clairo_core.ranking.dense_index import INDEXED_FROM
from clairo_core.ranking.history_encoder import RecurrentHistoryEncoder, TransformerHistoryEncoder
from clairo_core.ranking.pair_evidence import names_of
from clairo_core.recommendation import RecommendationRequest
from clairo_core.recommender import Recommender
from clairo_core.storage.growing_rows import GrowingRows
from clairo_core.tokens.tokenizer import Tokenizer
from clairo_core.tokens.vocabulary import EOS, PAD, Vocabulary

PARALLEL, TOKEN = "clairo", "clairo_token"
"""Presets."""
NUM_CODES = {PARALLEL: 16, TOKEN: 4}
BEAMS = {PARALLEL: (1, 50), TOKEN: (1, 20)}
"""Views and beams that training chooses."""
DIM, CONTENT_DIM, NUM_CENTROIDS, GROUP_SIZE, HISTORY_LENGTH, LINKS = 64, 128, 256, 200, 10, 60


class NearHistory:
    """Adds the mean of the item vectors so far: as after training, a history's vector is near its items'."""

    def forward(self, vectors: Float[Tensor, "history position dim"]) -> Float[Tensor, "history position dim"]:
        """Read the items of each history."""
        mean = vectors.cumsum(dim=1) / torch.arange(1, vectors.shape[1] + 1, device=vectors.device)[:, None]
        near: Float[Tensor, "history position dim"] = super().forward(vectors) + mean  # type: ignore[misc]
        return near


class NearRecurrent(NearHistory, RecurrentHistoryEncoder):
    """The recurrent one."""


class NearTransformer(NearHistory, TransformerHistoryEncoder):
    """The transformer."""


def made_recommender(
    preset: str,
    num_items: int,
    search: tuple[int, int] | None = None,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    recorder: Recorder | None = None,
) -> Recommender:
    """A recommender of this many items; its weights are the same on every device.

    Args:
        preset: PARALLEL or TOKEN.
        num_items: in the catalogue.
        search: views and beams; None takes those that training chooses.
        device: of generator and dense heads.
        dtype: of the generator.
        recorder: records the search of TOKEN.
    """
    random = np.random.default_rng(num_items)
    torch.manual_seed(num_items)
    tokenizer, feature_sets = made_features(preset, num_items, random)
    catalogue = build_catalogue([str(row) for row in range(num_items)], feature_sets, tokenizer)
    counts = random.integers(1, 30, num_items)
    num_views, num_beams = search or BEAMS[preset]
    ranking = made_ranking(num_items, counts, random)
    if preset == PARALLEL:
        network = ParallelNetwork(
            NetworkSizes(num_codebooks=16, num_centroids=NUM_CENTROIDS, width=128, max_history_items=20)
        )
        torch.nn.init.normal_(network.code_vectors)
        return recommender_of(
            parallel_generator(network.to(device, dtype_of(dtype)), catalogue),
            catalogue,
            tokenizer,
            counts,
            num_views=num_views,
            num_beams=num_beams,
            joint_ranking=ranking,
            repeat_lifts=NO_LIFTS,
        )
    return build_recommender(
        catalogue,
        tokenizer,
        made_t5(tokenizer.vocabulary.size, device, dtype),
        counts,
        num_views=num_views,
        num_beams=num_beams,
        max_history_items=10,
        joint_ranking=ranking,
        recorder=recorder,
    )


def made_requests(num_items: int, num_requests: int, seed: int = 1) -> list[RecommendationRequest]:
    """Requests whose histories lie in one group each."""
    random = np.random.default_rng(seed)
    groups = random.integers(max(num_items // GROUP_SIZE, 1), size=num_requests)
    size = min(GROUP_SIZE, num_items)
    histories = [group * size + random.choice(size, HISTORY_LENGTH, replace=False) for group in groups]
    return [
        RecommendationRequest(history=UserHistory(tuple(map(str, history.tolist()))), limit=10, seed=place)
        for place, history in enumerate(histories)
    ]


def made_features(
    preset: str, num_items: int, random: np.random.Generator
) -> tuple[Tokenizer, Int32[np.ndarray, "item category"]]:
    """Codes near those of the group's, and a collision index; no merges."""
    num_codes = NUM_CODES[preset]
    of_group = random.integers(NUM_CENTROIDS, size=(num_items // GROUP_SIZE + 1, num_codes))
    codes = of_group[np.arange(num_items) // GROUP_SIZE]
    codes = np.where(random.random(codes.shape) < 0.5, random.integers(NUM_CENTROIDS, size=codes.shape), codes)
    feature_sets, space = feature_sets_with_collision_index(
        codes.astype(np.int32), [NUM_CENTROIDS] * num_codes, collision_capacity(codes)
    )
    nothing = np.zeros(0, dtype=np.int32)
    vocabulary = Vocabulary(space.category_names, space.category_sizes, nothing, nothing, np.zeros(0, dtype=np.int64))
    return Tokenizer(vocabulary), feature_sets


def made_t5(vocabulary_size: int, device: str, dtype: str) -> Generator:
    """A T5 of the preset's shape, with the softmax over reachable tokens."""
    config = T5Config(
        vocab_size=vocabulary_size,
        d_model=64,
        d_kv=16,
        d_ff=256,
        num_layers=2,
        num_heads=4,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
    )
    with TemporaryDirectory() as folder:
        T5ForConditionalGeneration(config).eval().save_pretrained(folder)
        generator = load_generator(Path(folder), device, dtype=dtype)
    return Generator(dataclasses.replace(generator.config, softmax=Softmax.REACHABLE), generator.weights)


def made_ranking(num_items: int, counts: Int64[np.ndarray, "item"], random: np.random.Generator) -> JointRanking:
    """Two dense heads (indexed as in a bundle), followers, pair counts and content, and a random mixture."""
    groups = np.arange(num_items) // GROUP_SIZE
    heads = []
    for encoder in (
        NearRecurrent(DIM, width=128, max_history_items=50),
        NearTransformer(DIM, num_layers=2, num_heads=2, max_history_items=50),
    ):
        torch.nn.init.constant_(encoder.norm.weight, 0.2)
        vectors = grouped(groups, DIM, random) * np.float32(0.3)
        heads.append(DenseHead(encoder.eval(), GrowingRows(vectors), np.zeros((DIM, DIM), dtype=np.float32)))
    followers, together = made_links(num_items, random), made_links(num_items, random)
    content = grouped(groups, CONTENT_DIM, random)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    components, evidence = ("generator", "dense", "followers"), names_of(("followers", "together"), has_content=True)
    dense_heads = DenseHeads(tuple(heads))
    return JointRanking(
        dense_heads if num_items < INDEXED_FROM else dense_heads.indexed(),
        {"followers": ItemWeights(followers, 0.8 ** np.arange(20))},
        made_mixture(components, evidence, random),
        counts,
        together,
        content,
        made_mixture(components[1:], evidence, random),
    )


def made_mixture(components: Sequence[str], evidence: tuple[str, ...], random: np.random.Generator) -> Mixture:
    """Random layers of the fitted shape."""
    width = num_features(len(components), len(evidence))
    widths = [width, 32, 16, 1]
    layers = [
        (random.standard_normal((rows, columns), dtype=np.float32) / 10, np.zeros(rows, dtype=np.float32))
        for columns, rows in itertools.pairwise(widths)
    ]
    return Mixture(
        tuple(components),
        evidence,
        np.full(len(components), 1e-6),
        np.ones(len(components), dtype=np.float32),
        np.zeros(width, dtype=np.float32),
        np.ones(width, dtype=np.float32),
        tuple(layers),
    )


def grouped(
    groups: Int64[np.ndarray, "item"], dim: int, random: np.random.Generator
) -> Float32[np.ndarray, "item dim"]:
    """Vectors around their group's centre."""
    centres = random.standard_normal((int(groups[-1]) + 1, dim), dtype=np.float32)
    vectors = random.standard_normal((len(groups), dim), dtype=np.float32)
    vectors += centres[groups]
    return vectors


def made_links(num_items: int, random: np.random.Generator) -> sparse.csr_matrix:
    """Counts from each item to `LINKS` others of its group."""
    size = min(GROUP_SIZE, num_items)
    first = np.minimum(np.arange(num_items) // size * size, num_items - size)
    offsets = np.sort(random.permuted(np.tile(np.arange(size, dtype=np.int32), (2048, 1)), axis=1)[:, :LINKS], axis=1)
    columns = (first[:, None] + offsets[np.arange(num_items) % len(offsets)]).astype(np.int32)
    weights = random.integers(1, 6, num_items * LINKS).astype(np.float32)
    starts = np.arange(num_items + 1, dtype=np.int32) * LINKS
    return sparse.csr_matrix((weights, columns.ravel(), starts), shape=(num_items, num_items))
