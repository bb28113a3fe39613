"""Items scored by all their codes at once: against a slow twin, with posted and retired items, from files."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from clairo_core.build_recommender import load_recommender
from clairo_core.catalogue import Catalogue, build_catalogue
from clairo_core.errors import GeneratorError
from clairo_core.generation.parallel.network import NetworkSizes, ParallelNetwork
from clairo_core.generation.parallel.parallel_checkpoint import load_network, save_network
from clairo_core.generation.parallel.parallel_generator import ParallelGenerator, parallel_generator
from clairo_core.items import UserHistory
from clairo_core.ranking.allowed_items import AllowedItems, all_but, allowed_by
from clairo_core.tokens.tokenizer import Tokenizer
from tests.tiny import random_feature_sets, tiny_vocabulary

SIZES = (8, 6, 8, 3)
"""Three codebooks and a collision index."""
NUM_ITEMS = 20
FEATURE_SETS = random_feature_sets(NUM_ITEMS + 5, SIZES)
TOKENIZER = Tokenizer(tiny_vocabulary(SIZES))
HISTORIES = [np.array(rows) for rows in ([3, 1, 4], [15], [9, 2, 6, 5, 3, 5, 8])]


def catalogue_of(num_items: int = NUM_ITEMS) -> Catalogue:
    return build_catalogue([f"item-{row}" for row in range(num_items)], FEATURE_SETS[:num_items], TOKENIZER)


def random_network(seed: int = 0) -> ParallelNetwork:
    torch.manual_seed(seed)
    network = ParallelNetwork(NetworkSizes(num_codebooks=3, num_centroids=8, width=12, max_history_items=5))
    torch.nn.init.normal_(network.code_bias)
    return network.eval()


@pytest.fixture
def generator() -> ParallelGenerator:
    return parallel_generator(random_network(), catalogue_of())


def generate(
    generator: ParallelGenerator, histories: Sequence[np.ndarray], is_allowed: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    return generator.generate(
        histories, [0] * len(histories), 3, 50, None if is_allowed is None else allowed_by(is_allowed)
    )


def slow_scores(network: ParallelNetwork, feature_sets: np.ndarray, history: np.ndarray) -> np.ndarray:
    """Each item's scaled sum of log-probabilities of its codes, in plain loops."""
    with torch.no_grad():
        vectors = []
        for row in history[-5:].tolist():
            of_codes = [network.code_vectors[codebook * 8 + feature_sets[row, codebook]] for codebook in range(3)]
            vectors.append(sum(of_codes) / 3)
        state = network.reader(torch.stack(vectors)[None])[0, -1]
        scores = np.zeros(len(feature_sets))
        for codebook in range(3):
            query = network.heads(state)[codebook * 12 : codebook * 12 + 12]
            keys = network.code_vectors[codebook * 8 : codebook * 8 + 8]
            logits = torch.cosine_similarity(query[None], keys) / 0.1 + network.code_bias[codebook, 0]
            scores += torch.log_softmax(logits, 0).numpy()[feature_sets[:, codebook]]
    return scores * network.log_scale.exp().item()


def test_an_items_score_is_the_sum_of_its_codes_log_probabilities(generator: ParallelGenerator) -> None:
    for history, (rows, scores, _) in zip(HISTORIES, generate(generator, HISTORIES), strict=True):
        expected = slow_scores(generator.network, FEATURE_SETS[:NUM_ITEMS], history)
        expected -= np.logaddexp.reduce(expected)
        assert sorted(rows.tolist()) == list(range(NUM_ITEMS))
        np.testing.assert_allclose(scores, expected[rows], atol=1e-4)
        assert np.all(np.diff(scores) <= 0)


def test_a_filter_removes_items_and_changes_no_score(generator: ParallelGenerator) -> None:
    is_allowed = np.random.default_rng(0).random((len(HISTORIES), NUM_ITEMS)) < 0.4
    for allowed, of_all, of_some in zip(
        is_allowed, generate(generator, HISTORIES), generate(generator, HISTORIES, is_allowed), strict=True
    ):
        kept = allowed[of_all[0]]
        assert of_some[0].tolist() == of_all[0][kept].tolist()
        np.testing.assert_array_equal(of_some[1], of_all[1][kept])


def test_an_answer_is_independent_of_the_batch(generator: ParallelGenerator) -> None:
    for history, (rows, scores, _) in zip(HISTORIES, generate(generator, HISTORIES), strict=True):
        ((rows_alone, scores_alone, _),) = generate(generator, [history])
        assert rows.tolist() == rows_alone.tolist()
        np.testing.assert_allclose(scores, scores_alone, atol=1e-5)


def test_a_batch_lists_what_single_requests_list() -> None:
    """Of 16 codes of an item, and more items than come back: of those with equal codes, the lower row comes first."""
    sizes = (4,) * 16 + (2,)
    random = np.random.default_rng(0)
    codes = np.repeat(random.integers(4, size=(5_000, 16)), 2, axis=0)
    feature_sets = np.column_stack([codes, np.tile([0, 1], len(codes) // 2)]).astype(np.int32)
    tokenizer = Tokenizer(tiny_vocabulary(sizes))
    catalogue = build_catalogue([f"item-{row}" for row in range(len(codes))], feature_sets, tokenizer)
    torch.manual_seed(0)
    network = ParallelNetwork(NetworkSizes(num_codebooks=16, num_centroids=4, width=12, max_history_items=5))
    many = parallel_generator(network, catalogue.without_item("item-77"))
    histories = [random.integers(len(codes), size=4) for _ in range(5)]
    few = random.random(len(codes)) < 0.01
    allowed = [
        all_but(histories[0], len(codes)),
        AllowedItems(len(codes), histories[1][:0], few),
        *(all_but(history, len(codes)) for history in histories[2:]),
    ]
    at_once = many.generate(histories, [0] * 5, 1, 20, allowed)
    for history, of_request, (rows, scores, scores_of) in zip(histories, allowed, at_once, strict=True):
        ((rows_alone, scores_alone, scores_of_alone),) = many.generate([history], [0], 1, 20, [of_request])
        assert len(rows) == 80
        assert rows.tolist() == rows_alone.tolist()
        np.testing.assert_allclose(scores, scores_alone, atol=1e-5)
        assert scores_of is not None
        assert scores_of_alone is not None
        some = np.array([76, 77, 78])
        np.testing.assert_allclose(scores_of(some), scores_of_alone(some), atol=1e-5)
        assert few[rows].all() or of_request.mask is None


def test_a_posted_item_is_scored_at_once_like_an_old_one_with_its_codes(generator: ParallelGenerator) -> None:
    twin = tuple(FEATURE_SETS[7].tolist())
    taken = generator.catalogue.taken
    posted = next(codes for codes in ((*twin[:3], index) for index in range(3)) if codes not in taken)
    later = generator.with_catalogue(generator.catalogue.with_item("posted", posted, TOKENIZER))
    for rows, scores, _ in generate(later, HISTORIES):
        score_of = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        assert score_of[NUM_ITEMS] == pytest.approx(score_of[7], abs=1e-6)
    assert all(NUM_ITEMS not in rows for rows, *_ in generate(generator, HISTORIES)), "the earlier version is unchanged"


def test_a_posted_item_is_read_in_histories_by_its_codes(generator: ParallelGenerator) -> None:
    posted = [tuple(features) for features in FEATURE_SETS[NUM_ITEMS:].tolist()]
    later = generator.with_catalogue(
        generator.catalogue.with_items([f"new-{place}" for place in range(5)], posted, TOKENIZER)
    )
    history = np.array([2, NUM_ITEMS + 3])
    ((rows, scores, log_probabilities_of),) = generate(later, [history])
    expected = slow_scores(generator.network, FEATURE_SETS, history)
    expected -= np.logaddexp.reduce(expected)
    np.testing.assert_allclose(scores, expected[rows], atol=1e-4)
    assert log_probabilities_of is not None
    np.testing.assert_allclose(log_probabilities_of(np.arange(len(expected))), expected, atol=1e-4)


def test_a_posted_item_with_new_content_is_scored_by_its_new_codes(generator: ParallelGenerator) -> None:
    first, second = (tuple(FEATURE_SETS[row].tolist()) for row in (NUM_ITEMS, NUM_ITEMS + 1))
    posted = generator.catalogue.with_item("posted", first, TOKENIZER)
    changed = posted.with_feature_sets([NUM_ITEMS], [second], TOKENIZER)
    by_change = generator.with_catalogue(posted).with_catalogue(changed)
    at_once = generator.with_catalogue(generator.catalogue.with_item("posted", second, TOKENIZER))
    for found, expected in zip(generate(by_change, HISTORIES), generate(at_once, HISTORIES), strict=True):
        assert found[0].tolist() == expected[0].tolist()
        np.testing.assert_array_equal(found[1], expected[1])


def test_a_retired_item_never_comes_back_and_leaves_its_probability_to_the_others(
    generator: ParallelGenerator,
) -> None:
    later = generator.with_catalogue(generator.catalogue.without_item("item-4"))
    everything = np.ones((len(HISTORIES), NUM_ITEMS), dtype=np.bool_)
    for is_allowed in (None, everything):
        for rows, scores, _ in generate(later, HISTORIES, is_allowed):
            assert len(rows) == NUM_ITEMS - 1
            assert 4 not in rows
            assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-5)


def test_about_as_many_items_as_beams_come_back(generator: ParallelGenerator) -> None:
    (rows, *_), *_ = generator.generate(HISTORIES, [0] * 3, 1, 2)
    assert rows.tolist() == generate(generator, HISTORIES)[0][0][:8].tolist()


def test_a_loaded_network_generates_what_the_saved_one_did(generator: ParallelGenerator, tmp_path: Path) -> None:
    save_network(generator.network, tmp_path)
    loaded = parallel_generator(load_network(tmp_path), catalogue_of())
    for found, expected in zip(generate(loaded, HISTORIES), generate(generator, HISTORIES), strict=True):
        assert found[0].tolist() == expected[0].tolist()
        np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("reader", ["causal-transformer", "normalized-causal-transformer"])
def test_a_network_with_a_transformer_survives_a_round_trip(tmp_path: Path, reader: str) -> None:
    torch.manual_seed(0)
    sizes = NetworkSizes(
        num_codebooks=3,
        num_centroids=8,
        width=12,
        max_history_items=5,
        reader=reader,
        num_layers=2,
        num_heads=3,
    )
    network = ParallelNetwork(sizes).eval()
    save_network(network, tmp_path)
    loaded = load_network(tmp_path)
    assert loaded.sizes == sizes
    for of_loaded, of_saved in zip(
        generate(parallel_generator(loaded, catalogue_of()), HISTORIES),
        generate(parallel_generator(network, catalogue_of()), HISTORIES),
        strict=True,
    ):
        np.testing.assert_array_equal(of_loaded[1], of_saved[1])


def test_a_checkpoint_of_before_has_a_recurrent_reader(tmp_path: Path) -> None:
    save_network(random_network(), tmp_path)
    header = json.loads((tmp_path / "generator.json").read_text(encoding="utf-8"))
    of_before = {name: value for name, value in header.items() if name not in ("reader", "num_layers", "num_heads")}
    (tmp_path / "generator.json").write_text(json.dumps(of_before), encoding="utf-8")
    assert load_network(tmp_path).sizes == random_network().sizes


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_checkpoint_of_this_kind_makes_a_recommender(
    generator: ParallelGenerator, tmp_path: Path, dtype: str
) -> None:
    save_network(generator.network, tmp_path)
    recommender = load_recommender(
        tmp_path, TOKENIZER, catalogue_of(), np.ones(NUM_ITEMS), device="cpu", dtype=dtype, num_beams=5
    )
    assert isinstance(recommender.generator, ParallelGenerator)
    assert recommender.max_history_items == 5
    answer = recommender.recommend(UserHistory(("item-3", "item-1")), 10)
    assert [item.source for item in answer.items] == ["generative"] * 10
    assert not {"item-3", "item-1"} & {item.item_id for item in answer.items}


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("generator.json", lambda text: text.replace('"width": 12', '"width": 13'), "expected float32"),
        ("generator.json", lambda text: text.replace('"width": 12', '"width": "12"'), "expected whole numbers"),
        ("generator.json", lambda text: text.replace('"width": 12,', ""), "expected whole numbers"),
        ("generator.json", lambda text: text.replace('"width": 12', '"width": 99999999'), "expected float32"),
        ("generator.json", lambda text: text.replace('"num_heads": 1', '"num_heads": 5'), "5 heads and width 12"),
        ("generator.json", lambda text: text.replace("gated-recurrent", "psychic"), "expected one of gated-recurrent"),
        ("generator.json", lambda text: text.replace('"parallel"', '"serial"'), "expected the generator 'parallel'"),
        ("generator.json", lambda text: text[:-9], "cannot be read as JSON"),
        ("arrays.safetensors", lambda text: text[:-9], "missing or damaged"),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, name: str, damage, words: str) -> None:
    save_network(random_network(), tmp_path)
    path = tmp_path / name
    path.write_bytes(damage(path.read_bytes().decode("latin-1")).encode("latin-1"))
    with pytest.raises(GeneratorError, match=words) as refused:
        load_network(tmp_path)
    assert str(tmp_path) in str(refused.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    save_network(random_network(), tmp_path)
    arrays = load_file(tmp_path / "arrays.safetensors")
    arrays["code_bias"][0, 0, 0] = np.nan
    save_file(arrays, tmp_path / "arrays.safetensors")
    with pytest.raises(GeneratorError, match="'code_bias' has values that are not finite"):
        load_network(tmp_path)


def test_a_catalogue_of_other_codes_is_refused(tmp_path: Path) -> None:
    save_network(random_network(), tmp_path)
    header = json.loads((tmp_path / "generator.json").read_text(encoding="utf-8"))
    assert (header["kind"], header["num_codebooks"]) == ("parallel", 3)
    for sizes in ((8, 3), (8, 30, 8, 3)):
        tokenizer = Tokenizer(tiny_vocabulary(sizes))
        catalogue = build_catalogue([f"item-{row}" for row in range(20)], random_feature_sets(20, sizes), tokenizer)
        with pytest.raises(GeneratorError, match="expected 3 below 8; use the catalogue"):
            parallel_generator(load_network(tmp_path), catalogue)
