"""A decoder step beside its limit, on the CPU."""

import pytest
import torch

from benchmarks.gpu.roofline import copy_rate, matmul_rate, step_rows, work_of_step
from clairo_core.generation.t5.generator import Generator, load_generator
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import tiny_vocabulary, write_random_t5

TOKENIZER = Tokenizer(tiny_vocabulary())


@pytest.fixture(scope="module")
def generator(tmp_path_factory) -> Generator:
    folder = write_random_t5(tmp_path_factory.mktemp("t5"), TOKENIZER.vocabulary.size, softmax="reachable")
    return load_generator(folder, "cpu")


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
    rows = dict(step_rows(generator, 2, copied=copied, multiplied=multiplied))
    took, of_bytes, of_operations, ratio = rows.values()
    assert ratio == pytest.approx(took / max(of_bytes, of_operations))
    assert next(iter(rows)) == "one step of the search, float32"
