import json

import numpy as np
import pytest
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import T5ForConditionalGeneration

from clairo_core.errors import GeneratorError
from clairo_core.generation.t5.generator import Generator, choose_device, load_generator
from clairo_core.generation.t5.generator_checkpoint import Softmax, read_config
from tests.tiny import random_t5, write_random_t5

VOCAB_SIZE = 60
SHAPES = {
    "as trained": {},
    "wide heads and few buckets": {"d_kv": 5, "num_heads": 2, "relative_attention_num_buckets": 8},
    "gates": {"feed_forward_proj": "gated-gelu"},
    "uneven stacks": {"num_layers": 1, "num_decoder_layers": 3},
    "stronger weights": {"initializer_factor": 1.5},
}


def random_tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(2, VOCAB_SIZE, size=shape))


def logits_of_transformers(
    model: T5ForConditionalGeneration, ids: Tensor, lengths: Tensor, outputs: Tensor
) -> Float[Tensor, "view step token"]:
    mask = (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).long()
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, decoder_input_ids=outputs).logits


def logits_of_ours(
    generator: Generator, ids: Tensor, lengths: Tensor, outputs: Tensor
) -> Float[Tensor, "view step token"]:
    with torch.inference_mode():
        views, cache = generator.encode(ids, lengths), generator.start()
        rows = generator.output_rows(torch.arange(generator.config.vocab_size))
        logits = []
        for step in range(outputs.shape[1]):
            hidden, cache = generator.step(outputs[:, step : step + 1], views, cache)
            logits.append(hidden[:, 0].float() @ rows.T)
        return torch.stack(logits, dim=1)


@pytest.mark.parametrize("settings", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("length", [1, 9, 150])
def test_logits_agree_with_transformers(tmp_path, settings, length):
    write_random_t5(tmp_path, VOCAB_SIZE, seed=3, **settings)
    ids, lengths = random_tokens(4, length), torch.tensor([length, max(1, length // 2), 1, length])
    ids[torch.arange(length)[None, :] >= lengths[:, None]] = 0
    outputs = random_tokens(4, 6, seed=1)
    outputs[:, 0] = 0
    expected = logits_of_transformers(
        T5ForConditionalGeneration.from_pretrained(tmp_path).eval(), ids, lengths, outputs
    )
    generator = load_generator(tmp_path, "cpu")
    found = logits_of_ours(generator, ids, lengths, outputs)
    assert (found - expected).abs().max() < 1e-4
    # As spread as in use, which makes agreement meaningful.
    assert expected.std() > 0.1


@pytest.mark.parametrize("size_of_logits", [1.0, 100.0])
def test_the_normalizer_is_that_of_the_whole_softmax(tmp_path, size_of_logits):
    loaded = load_generator(write_random_t5(tmp_path, 9000), "cpu")
    loaded.weights.output_embeddings.mul_(size_of_logits)
    generator = Generator(loaded.config, loaded.weights)
    with torch.inference_mode():
        hidden = torch.randn(3, 700, generator.config.d_model)
        logits = hidden @ generator.output_rows(torch.arange(9000)).T
        torch.testing.assert_close(generator.log_normalizer(hidden), torch.logsumexp(logits, dim=-1))


def test_beams_of_a_view_step_as_if_alone(tmp_path):
    generator = load_generator(write_random_t5(tmp_path, VOCAB_SIZE, seed=5), "cpu")
    ids, lengths = random_tokens(2, 7), torch.tensor([7, 4])
    beams = random_tokens(2, 3, 4, seed=2)
    with torch.inference_mode():
        views, cache = generator.encode(ids, lengths), generator.start()
        for step in range(4):
            together, cache = generator.step(beams[:, :, step], views, cache)
        for beam in range(3):
            cache_alone = generator.start()
            for step in range(4):
                alone, cache_alone = generator.step(beams[:, beam, step : step + 1], views, cache_alone)
            torch.testing.assert_close(together[:, beam], alone[:, 0], atol=1e-5, rtol=1e-5)


def test_a_beam_extends_its_selected_parent(tmp_path):
    generator = load_generator(write_random_t5(tmp_path, VOCAB_SIZE, seed=6), "cpu")
    ids, lengths = random_tokens(1, 5), torch.tensor([5])
    with torch.inference_mode():
        views = generator.encode(ids, lengths)
        _, cache = generator.step(torch.tensor([[4, 9]]), views, generator.start())
        swapped, _ = generator.step(torch.tensor([[7, 7, 7]]), views, cache, torch.tensor([1, 0, 1]))
        _, cache = generator.step(torch.tensor([[9, 4, 9]]), views, generator.start())
        direct, _ = generator.step(torch.tensor([[7, 7, 7]]), views, cache)
        torch.testing.assert_close(swapped, direct)


def test_bfloat16_stays_near_float32(tmp_path):
    write_random_t5(tmp_path, VOCAB_SIZE, seed=3)
    ids, lengths, outputs = random_tokens(2, 6), torch.tensor([6, 6]), random_tokens(2, 3)
    exact = logits_of_ours(load_generator(tmp_path, "cpu"), ids, lengths, outputs)
    rounded = logits_of_ours(load_generator(tmp_path, "cpu", dtype="bfloat16"), ids, lengths, outputs)
    assert rounded.dtype == torch.float32
    assert (exact - rounded).abs().max() < 0.05 * exact.std()


def test_the_automatic_device_is_available():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device(torch.device("cpu")).type == "cpu"
    with pytest.raises(GeneratorError, match="choose auto or cpu"):
        choose_device("abacus")


def test_an_unknown_dtype_is_refused_by_name(tmp_path):
    with pytest.raises(GeneratorError, match="'int3', expected one of float32, bfloat16"):
        load_generator(tmp_path, "cpu", dtype="int3")


def test_a_folder_without_a_checkpoint_is_refused_by_name(tmp_path):
    with pytest.raises(GeneratorError, match=r"config\.json"):
        load_generator(tmp_path, "cpu")


def test_a_truncated_checkpoint_is_refused_by_name(tmp_path):
    weights = write_random_t5(tmp_path, VOCAB_SIZE) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(GeneratorError, match=r"model\.safetensors: cannot be read"):
        load_generator(tmp_path, "cpu")


def test_another_model_is_refused_by_its_type(tmp_path):
    config = write_random_t5(tmp_path, VOCAB_SIZE) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "bert"}))
    with pytest.raises(GeneratorError, match="model_type is 'bert', expected 't5'"):
        load_generator(tmp_path, "cpu")


@pytest.mark.parametrize(
    "content", ["[]", "{}", "{", '{"model_type": "t5"}', '{"model_type": "t5", "vocab_size": null}']
)
def test_a_damaged_configuration_is_refused_by_name(tmp_path, content):
    (write_random_t5(tmp_path, VOCAB_SIZE) / "config.json").write_text(content)
    with pytest.raises(GeneratorError, match=r"config\.json"):
        load_generator(tmp_path, "cpu")


def test_weights_of_another_shape_are_refused_by_name(tmp_path):
    config = write_random_t5(tmp_path, VOCAB_SIZE) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"d_ff": 41}))
    with pytest.raises(GeneratorError, match=r"wi\.weight has shape \(40, 24\), expected \(41, 24\)"):
        load_generator(tmp_path, "cpu")


@pytest.mark.parametrize("softmax", list(Softmax))
def test_a_checkpoint_names_its_softmax(tmp_path, softmax):
    assert read_config(write_random_t5(tmp_path, VOCAB_SIZE, softmax=str(softmax))).softmax is softmax


def test_the_default_softmax_is_over_the_vocabulary(tmp_path):
    assert read_config(write_random_t5(tmp_path, VOCAB_SIZE)).softmax is Softmax.VOCABULARY


@pytest.mark.parametrize("softmax", ["Reachable", "", None, 1, [], {}])
def test_an_unknown_softmax_is_refused_by_name(tmp_path, softmax):
    config = write_random_t5(tmp_path, VOCAB_SIZE) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"softmax": softmax}))
    with pytest.raises(GeneratorError, match=r"softmax is .*, expected one of vocabulary, reachable"):
        read_config(tmp_path)


def test_a_missing_weight_is_refused_by_name(tmp_path):
    path = write_random_t5(tmp_path, VOCAB_SIZE) / "model.safetensors"
    tensors = load_file(path)
    del tensors["decoder.final_layer_norm.weight"]
    save_file(tensors, path)
    with pytest.raises(GeneratorError, match=r"decoder\.final_layer_norm\.weight is missing"):
        load_generator(tmp_path, "cpu")


def test_the_tiny_t5_does_not_change_the_callers_random_state():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    random_t5(VOCAB_SIZE)
    assert torch.rand(1) == expected
