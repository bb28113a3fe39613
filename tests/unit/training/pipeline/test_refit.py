"""A refit: measured parts learn from what measured them, and every choice stays."""

import dataclasses
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.errors import BundleManifestError, TrainingError
from clairo_core.items import UserHistory
from clairo_core.progress import silent
from clairo_core.ranking import JointRanking, dense_heads
from clairo_core.recommender import Recommender
from clairo_core.sequences import ItemSequences
from tests.tiny import tiny_items
from training.config.load_preset import load_preset
from training.counts.fit_item_weights import item_weights_of, pair_counts
from training.counts.popularity import count_popularity
from training.datasets.dataset import Dataset, build_dataset
from training.evaluation.split import sequences_before_test, training_sequences
from training.pipeline.refit import refit
from training.pipeline.run import Verdict, train_bundle, train_parts
from training.pipeline.trained_parts import TrainedParts
from training.ranking import mixture_stage
from training.ranking.fit_dense_head import DenseModel
from training.workbench.bundle_dataset import check_not_learned
from training.workbench.stage_cache import StageCache
from training.workbench.workbench import Workbench

NUM_ITEMS, NUM_USERS = 40, 60
NEWEST = NUM_ITEMS - 1
"""Row of an item that is every third user's last one, and nobody's before."""
SETTINGS = (
    "encode.modalities=text",
    "encode.text_dim=8",
    "fuse.dim_per_modality=8",
    "align.dim=8",
    "generator.d_model=16",
    "generator.d_ff=32",
    "generator.num_layers=1",
    "fit.max_epochs=2",
    "fit.validation_users=20",
    "dense.encoder=recurrent",
    "dense.width=16",
    "dense.max_epochs=4",
    "dense.positions_per_batch=60",
    "dense.learning_rate=0.01",
    "mix.max_users=30",
    "evaluate.num_beams=10",
    "evaluate.num_views=1",
    "evaluate.num_resamples=20",
)


def shop() -> Dataset:
    walks = [[(user + step) % (NUM_ITEMS - 1) for step in range(6)] for user in range(NUM_USERS)]
    sequences = [[*walk, NEWEST] if user % 3 == 0 else walk for user, walk in enumerate(walks)]
    users = tuple(f"user-{user}" for user in range(NUM_USERS))
    return build_dataset("shop", tiny_items(NUM_ITEMS), users, ItemSequences.from_lists(sequences))


def bench_of(stages: Path, *overrides: str) -> Workbench:
    preset = load_preset("clairo_token", [*SETTINGS, *overrides])
    return Workbench(shop(), preset, 0, torch.device("cpu"), StageCache(stages), silent, lambda _: None)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return bench_of(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="module")
def measured(bench: Workbench) -> TrainedParts:
    return train_parts(bench)


@pytest.fixture(scope="module")
def served(bench: Workbench, measured: TrainedParts) -> TrainedParts:
    return refit(bench.learning_from(bench.dataset.sequences), measured)


@pytest.fixture(scope="module")
def bundle(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("bundles") / "served"
    train_bundle(bench, out)
    return load_bundle(out)


@pytest.fixture(scope="module")
def as_measured(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("bundles") / "measured"
    train_bundle(bench, out, is_refitted=False)
    return load_bundle(out)


def ranking_of(parts: TrainedParts) -> JointRanking:
    assert parts.recommender.joint_ranking is not None
    return parts.recommender.joint_ranking


def test_the_strength_of_dislikes_stays_and_is_written(
    measured: TrainedParts, served: TrainedParts, bundle: Bundle
) -> None:
    assert served.recommender.disliked_neighbours is measured.recommender.disliked_neighbours
    assert bundle.dislike_strength == measured.recommender.disliked_neighbours.strength == 1.0, "as in the preset"
    rows = np.arange(NUM_ITEMS)
    found = [
        recommender.disliked_neighbours.similarities(np.array([3]), rows, None)
        for recommender in (served.recommender, bundle.recommender("cpu"))
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert found[0][3] == pytest.approx(1.0)


def test_counts_are_those_of_all_interactions(bench: Workbench, measured: TrainedParts, served: TrainedParts) -> None:
    ranking, sequences = ranking_of(served), bench.dataset.sequences
    assert measured.ranked is not None
    counted = dict(
        item_weights_of(
            sequences,
            NUM_ITEMS,
            pair_counts(sequences, NUM_ITEMS, bench.preset.mix.pairs_per_item),
            measured.ranked.item_weights.chosen,
            bench.preset.mix.ease_weights_per_item,
        )
    )
    assert set(counted) == set(ranking.item_weights) == {"followers", "ease"}
    for component, weights in counted.items():
        assert np.array_equal(ranking.item_weights[component].matrix.toarray(), weights.matrix.toarray())
        assert np.array_equal(ranking.item_weights[component].age_weights, weights.age_weights)
    assert np.array_equal(ranking.training_counts, count_popularity(sequences, NUM_ITEMS))
    # Every user has an item once.
    assert np.array_equal(served.recommender.popular.weights, ranking.training_counts)
    assert served.num_interactions == len(sequences.items) > measured.num_interactions


def test_items_keep_their_features_and_the_mixture_its_weights(measured: TrainedParts, served: TrainedParts) -> None:
    before, after = measured.recommender, served.recommender
    assert after.catalogue.item_ids == before.catalogue.item_ids
    assert np.array_equal(after.catalogue.feature_sets, before.catalogue.feature_sets)
    assert after.tokenizer.vocabulary is before.tokenizer.vocabulary
    assert ranking_of(served).mixture is ranking_of(measured).mixture
    assert after.repeat_lifts == before.repeat_lifts


def test_an_item_of_held_out_interactions_alone_has_behaviour_at_once(
    measured: TrainedParts, served: TrainedParts
) -> None:
    assert measured.ranked is not None
    assert served.ranked is not None
    for parts, has_behaviour in ((measured.ranked, False), (served.ranked, True)):
        own = (
            parts.dense_heads.members[0].trained.item_vectors[NEWEST]
            - parts.dense_heads.members[0].as_new().item_vectors[NEWEST]
        )
        assert (np.abs(own).max() > 1e-4) == has_behaviour
        assert all((of.matrix[:, [NEWEST]].nnz > 0) == has_behaviour for of in parts.item_weights.weights.values())
    assert measured.training_counts[NEWEST] == 0
    assert served.training_counts[NEWEST] == NUM_USERS // 3


def test_dense_head_and_generator_go_on_from_the_measured_weights(measured: TrainedParts, served: TrainedParts) -> None:
    assert measured.ranked is not None
    assert served.ranked is not None
    before, after = (load_file(parts.generator.checkpoint / "model.safetensors") for parts in (measured, served))
    heads = [parts.dense_heads.members[0].trained.item_vectors for parts in (measured.ranked, served.ranked)]
    # Other random weights would be 1.4 away.
    assert 0 < moved(before["shared.weight"].numpy(), after["shared.weight"].numpy()) < 0.7
    assert 0 < moved(*heads) < 0.7
    epochs = [
        (parts.generator.progress, parts.ranked.dense_heads.members[0].progress)
        for parts in (measured, served)
        if parts.ranked
    ]
    for trained, again in zip(*epochs, strict=True):
        assert 1 <= again.epochs_done <= max(1, trained.epochs_done // 2)
        assert again.validation_ndcgs == []


def moved(before: np.ndarray, after: np.ndarray) -> float:
    """The length of the difference, as a share of the length before."""
    return float(np.linalg.norm(after - before) / np.linalg.norm(before))


def test_a_dense_head_starts_as_the_measured_one(bench: Workbench, measured: TrainedParts) -> None:
    assert measured.ranked is not None
    head = measured.ranked.dense_heads.members[0].trained
    torch.manual_seed(5)
    is_trained = np.ones(NUM_ITEMS, dtype=np.bool_)
    model = DenseModel(measured.items.as_posted(), is_trained, bench.is_held_out, bench.preset.dense)
    model.start_from(head)
    histories = [np.array([1, 2, 3]), np.array([NEWEST])]
    np.testing.assert_allclose(model.head().item_vectors, head.item_vectors, atol=1e-6)
    np.testing.assert_allclose(model.head().log_probabilities(histories), head.log_probabilities(histories), atol=1e-5)
    np.testing.assert_allclose(
        model.head(as_new=True).item_vectors, measured.ranked.dense_heads.members[0].as_new().item_vectors, atol=1e-6
    )


def test_a_bundle_tells_what_was_measured_and_what_is_served(
    bench: Workbench, bundle: Bundle, as_measured: Bundle, measured: TrainedParts, served: TrainedParts
) -> None:
    counts = {"measured": measured.num_interactions, "served": served.num_interactions}
    assert bundle.manifest.trained_on == counts
    assert bundle.manifest.is_refitted
    assert as_measured.manifest.trained_on == dict.fromkeys(counts, measured.num_interactions)
    assert not as_measured.manifest.is_refitted
    assert bundle.manifest.metrics["evaluation"] == as_measured.manifest.metrics["evaluation"]
    assert np.array_equal(bundle.popularity, served.training_counts)
    answers = [
        recommender.recommend(UserHistory(("item-1", "item-2")), 10).items
        for recommender in (served.recommender, bundle.recommender("cpu", num_views=1, num_beams=10))
    ]
    assert answers[0] == answers[1]


def test_without_a_refit_the_bundle_has_the_measured_parts(as_measured: Bundle, measured: TrainedParts) -> None:
    assert_same_file(as_measured.generator_folder, measured.generator.checkpoint)
    assert as_measured.joint_ranking is not None
    assert np.array_equal(as_measured.popularity, measured.training_counts)
    assert np.array_equal(
        as_measured.joint_ranking.dense_heads.heads[0].item_vectors,
        ranking_of(measured).dense_heads.heads[0].item_vectors,
    )
    assert not (as_measured.folder / "measured-generator").exists()


def test_a_refitted_bundle_keeps_the_measured_generator_for_warm_starts(
    bundle: Bundle, as_measured: Bundle, measured: TrainedParts, served: TrainedParts
) -> None:
    assert_same_file(bundle.generator_folder, served.generator.checkpoint)
    assert_same_file(bundle.measured_generator_folder, measured.generator.checkpoint)
    assert as_measured.measured_generator_folder == as_measured.generator_folder


def assert_same_file(one: Path, other: Path) -> None:
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def test_a_bundle_is_judged_on_all_but_the_test_targets_and_not_refitted_if_refused(
    bench: Workbench, as_measured: Bundle, tmp_path: Path
) -> None:
    judged: list[Recommender] = []

    def refuse(recommender: Recommender) -> Verdict:
        judged.append(recommender)
        return Verdict({"against_serving": 1}, is_refused=True)

    train_bundle(bench, tmp_path / "refused", refuse)
    manifest = read_manifest(tmp_path / "refused")
    assert manifest.bundle_id == as_measured.manifest.bundle_id
    assert manifest.metrics["against_serving"] == 1
    assert judged[0].joint_ranking is not None
    expected = count_popularity(sequences_before_test(bench.dataset), NUM_ITEMS)
    assert np.array_equal(judged[0].joint_ranking.training_counts, expected)
    assert expected[NEWEST] == 0
    train_bundle(bench, tmp_path / "accepted", lambda _: Verdict({}, is_refused=False))
    assert read_manifest(tmp_path / "accepted").is_refitted


@pytest.mark.parametrize("stage", ["refit-generator", "refit-dense-head"])
def test_a_killed_refit_resumes(
    bench: Workbench, measured: TrainedParts, served: TrainedParts, tmp_path: Path, stage: str
) -> None:
    stages = tmp_path / "stages"
    shutil.copytree(bench.stages.folder, stages)
    for finished in stages.glob(f"{stage}-*"):
        shutil.rmtree(finished)

    def dying(things: Iterable[object], label: str, _total: int | None) -> Iterable[object]:
        for place, thing in enumerate(things):
            if label.startswith(("generator, epoch", "dense head, epoch")) and place == 1:
                raise KeyboardInterrupt
            yield thing

    learning = bench_of(stages).learning_from(bench.dataset.sequences)
    with pytest.raises(KeyboardInterrupt):
        refit(dataclasses.replace(learning, progress=dying), measured)
    assert list(stages.glob(f"{stage}-*.partial"))
    again = refit(learning, measured)
    assert_same_file(again.generator.checkpoint, served.generator.checkpoint)
    assert np.array_equal(
        ranking_of(again).dense_heads.heads[0].item_vectors, ranking_of(served).dense_heads.heads[0].item_vectors
    )


def test_a_refitted_bundle_is_not_measured_on_what_it_has_learned(
    bundle: Bundle, as_measured: Bundle, bench: Workbench
) -> None:
    with pytest.raises(TrainingError, match="with --no-refit"):
        check_not_learned(bundle.manifest, bench.dataset)
    check_not_learned(as_measured.manifest, bench.dataset)
    check_not_learned(bundle.manifest, dataclasses.replace(bench.dataset, fingerprint="later"))


def test_without_held_out_interactions_there_is_nothing_to_refit(tmp_path: Path) -> None:
    bench = bench_of(tmp_path / "stages", "dense.dim=0", "fit.max_epochs=1")
    pairs = ItemSequences.from_lists([[user % NUM_ITEMS, (user + 1) % NUM_ITEMS] for user in range(NUM_USERS)])
    dataset = build_dataset("pairs", bench.dataset.items, bench.dataset.user_ids, pairs)
    train_bundle(dataclasses.replace(bench, dataset=dataset), tmp_path / "bundle")
    assert read_manifest(tmp_path / "bundle").trained_on == dict.fromkeys(("measured", "served"), len(pairs.items))


def test_a_generator_without_joint_ranking_is_refitted_too(tmp_path: Path) -> None:
    bench = bench_of(tmp_path / "stages", "dense.dim=0", "fit.max_epochs=1")
    train_bundle(bench, tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest.is_refitted
    assert bundle.joint_ranking is None
    assert bundle.popularity[NEWEST] == NUM_USERS // 3


def test_the_test_targets_are_all_that_a_proof_holds_out() -> None:
    # The last event and the newest item that is new to the user; users with too few events only train.
    sequences = [[0, 1, 2, 3], [0, 1, 2, 3, 2, 3], [0, 1, 0, 0], [4, 5]]
    users = tuple("abcd")
    dataset = build_dataset("shop", tiny_items(6), users, ItemSequences.from_lists(sequences))
    assert [items.tolist() for items in sequences_before_test(dataset)] == [[0, 1, 2], [0, 1, 2, 2], [0, 1, 0], [4, 5]]
    assert [items.tolist() for items in training_sequences(dataset)] == [[0, 1], [0, 1], [0, 1], [4, 5]]


@pytest.mark.parametrize("trained_on", [3, {"measured": 3}, {"measured": 3, "served": "all"}])
def test_a_damaged_trained_on_is_refused(bundle: Bundle, tmp_path: Path, trained_on: object) -> None:
    content = json.loads((bundle.folder / "manifest.json").read_text(encoding="utf-8"))
    (tmp_path / "manifest.json").write_text(json.dumps(content | {"trained_on": trained_on}), encoding="utf-8")
    with pytest.raises(BundleManifestError, match="trained_on"):
        read_manifest(tmp_path)
    del content["trained_on"]
    (tmp_path / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_manifest(tmp_path).trained_on is None


def test_a_refit_needs_no_counts_of_the_measured_parts(
    bench: Workbench, measured: TrainedParts, served: TrainedParts
) -> None:
    light = measured.without_item_weights()
    assert ranking_of(light).item_weights == {}
    assert ranking_of(light).together is None
    again = refit(bench.learning_from(bench.dataset.sequences), light)
    history = UserHistory(("item-0", "item-1"))
    assert again.recommender.recommend(history, 5) == served.recommender.recommend(history, 5)


def test_a_mixture_shares_heads_and_counts_with_the_stages_that_made_them(measured: TrainedParts) -> None:
    assert measured.ranked is not None
    assert ranking_of(measured).item_weights is measured.ranked.item_weights.weights
    assert ranking_of(measured).together is measured.ranked.item_weights.together
    heads = (ranking_of(measured).dense_heads, measured.ranked.dense_heads.trained)
    assert heads[0].heads[0].item_vectors.base is heads[1].heads[0].item_vectors.base


def test_the_mixture_of_a_large_catalogue_is_fitted_and_measured_on_the_index_that_is_served(
    tmp_path: Path, measured: TrainedParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixture_stage, "INDEXED_FROM", NUM_ITEMS)
    monkeypatch.setattr(dense_heads, "INDEXED_FROM", NUM_ITEMS)
    bench = bench_of(tmp_path / "stages")
    parts = train_parts(bench)
    index = ranking_of(parts).dense_heads.index
    assert index is not None
    assert index.num_items == NUM_ITEMS
    again = train_parts(bench_of(tmp_path / "stages"))
    assert ranking_of(again).dense_heads.index is not None
    # An index of so few items finds all, so the lists are those of the exact product.
    history = UserHistory(("item-0", "item-1"))
    ids = [[entry.item_id for entry in of.recommender.recommend(history, 3).items] for of in (parts, measured)]
    assert ids[0] == ids[1]
