"""The GPU benchmark, as far as it runs without a GPU."""

import numpy as np
import pytest
import torch

from benchmarks.speed import generate_gpu
from benchmarks.speed.generate_contest import SERVED, share_kept, top_tens
from benchmarks.speed.generate_gpu import (
    NOT_MEASURED,
    copy_rate,
    latency_rows,
    matmul_rate,
    rows_on_gpu,
    step_rows,
    throughput_rows,
    work_of_step,
)
from clairo_core.build_recommender import build_recommender
from clairo_core.catalogue import build_catalogue
from clairo_core.generation.t5.generator import Generator, load_generator
from clairo_core.items import UserHistory
from clairo_core.recommendation import RecommendationRequest
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import random_feature_sets, tiny_vocabulary, write_random_t5

TOKENIZER = Tokenizer(tiny_vocabulary())


@pytest.fixture(scope="module")
def generator(tmp_path_factory) -> Generator:
    folder = write_random_t5(tmp_path_factory.mktemp("t5"), TOKENIZER.vocabulary.size, softmax="reachable")
    return load_generator(folder, "cpu")


def test_without_a_gpu_there_are_no_rows_and_a_note(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert rows_on_gpu(True) == (NOT_MEASURED, [])


def test_the_work_of_a_step_counts_its_matrices_and_its_attention(generator):
    # d_model 24, 3 heads of 8, d_ff 40, 2 layers: 4 matrices of 24 x 24, 2 more of attention, 2 of 24 x 40.
    num_weights = 2 * (6 * 24 * 24 + 2 * 24 * 40)
    operations, num_bytes = work_of_step(generator, num_views=3, num_beams=5, length=7, depth=2)
    assert operations == 2 * 15 * (num_weights + 2 * 2 * 24 * (7 + 3))
    keys_and_values = 2 * 2 * 24
    assert num_bytes == 4 * (num_weights + 3 * 7 * keys_and_values + 15 * 5 * keys_and_values) + 8 * 15 * 24


def test_a_step_is_compared_with_the_larger_of_its_floors(generator):
    device = torch.device("cpu")
    copied, multiplied = copy_rate(device, 1 << 16), matmul_rate(device, torch.float32, 64)
    assert copied > 0
    rows = step_rows("tiny", generator, 2, copied=copied, multiplied=multiplied)
    took, of_bytes, of_operations, ratio = (row.value for row in rows)
    assert ratio == pytest.approx(took / max(of_bytes, of_operations))


def test_only_the_served_mode_has_goals_for_latency_and_throughput(generator, monkeypatch):
    monkeypatch.setattr(generate_gpu, "BATCHES", (4, 512))
    catalogue = build_catalogue([str(row) for row in range(30)], random_feature_sets(30, (8, 8, 8)), TOKENIZER)
    recommender = build_recommender(
        catalogue, TOKENIZER, generator, np.zeros(30, dtype=np.int64), num_views=1, num_beams=2, max_history_items=2
    )
    requests = [RecommendationRequest(history=UserHistory((str(row),)), limit=3) for row in range(3)]
    latency = latency_rows(f"10k, {SERVED}", recommender, requests, 3)
    assert [(row.must, row.aim) for row in latency] == [(5.0, 2.0), (None, None)]
    assert 0 < latency[0].value <= latency[1].value
    rates = throughput_rows(f"10k, {SERVED}", recommender, requests, 1)
    assert [(row.must, row.aim) for row in rates] == [(None, None), (5_000.0, 20_000.0)]
    assert all(row.must is None for row in throughput_rows("10k, another", recommender, requests, 1))
    expected = top_tens(recommender, requests)
    assert share_kept(expected, expected) == 100.0
    assert share_kept(expected, [set(), *expected[1:]]) == pytest.approx(200 / 3)
