"""Two workers of a real Ray cluster give what one process gives, also where one of them is killed."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from clairo_core.encoders import BuiltinTextEncoder
from clairo_core.encoders.learned_image import LearnedImageEncoder, PictureNetwork
from clairo_core.errors import EncoderError, SettingsError
from clairo_core.items import Item
from clairo_core.progress import silent
from clairo_core.sequences import ItemSequences
from tests.engine_pieces import KilledInTheMiddle, process_of, refusing, squaring, with_its_process
from tests.engine_trainings import dense, killed_file, killing, noted, weights_of
from tests.ray_head import ray_head
from tests.recommending import Killed, killed_after, write_visits
from tests.tiny import random_feature_sets, random_sequences, tiny_bundle, tiny_items
from training.cli import app
from training.counts import strongest_entries
from training.counts.fit_item_weights import pair_counts
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.engines.ray_cluster import RayCluster, opened_ray
from training.items import behaviour, encode_items
from training.items.behaviour import neighbour_counts
from training.recommending import write_lists
from training.recommending.recommend_users import recommend_users
from training.vocabulary import count_parts
from training.vocabulary.learn_vocabulary import learn_vocabulary
from training.workbench.checkpoints import load_progress

pytestmark = [
    pytest.mark.timeout(600),
    # Ray's own, in 2.60.
    pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ray_head() as started:
        yield started


@pytest.fixture(scope="module")
def engine(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patched, opened_ray(address, 2, "cpu", tmp_path_factory.mktemp("ray")) as ray:
        # Two processes per training that watch for machines about to be taken away.
        patched.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        yield ray


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A data set whose user n went from item-n to item-(n + 2)."""
    return write_visits(tmp_path / "shop", 11)


# First: a process has one connection, which `engine` keeps.
def test_workers_beyond_the_cluster_are_refused(address: str, tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match="--workers 4: the cluster has 3 CPUs"),
        opened_ray(address, 4, "cpu", tmp_path),
    ):
        pass


def test_an_error_of_a_piece_keeps_its_name(engine: Engine) -> None:
    with pytest.raises(EncoderError, match="piece 1 is unreadable"):
        list(engine.map(refusing, [0, 1]))


def test_pieces_come_in_order_and_as_they_are_though_a_worker_is_killed(engine: Engine, tmp_path: Path) -> None:
    pieces = [(number, "x") for number in range(8)]
    found = list(KilledInTheMiddle(engine, tmp_path / "killed").map(squaring, pieces))
    assert (tmp_path / "killed").exists()
    assert found == list(IN_THIS_PROCESS.map(squaring, pieces))
    assert list(engine.map(squaring, [])) == []


class Noted(list[tuple[int, str]]):
    """Pieces, and how many of them were taken."""

    taken = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for self.taken, piece in enumerate(super().__iter__(), start=1):
            yield piece


def test_few_pieces_wait_for_the_reader(engine: Engine) -> None:
    pieces = Noted((number % 8, "x") for number in range(100))
    results = engine.map(squaring, pieces)
    for num_read in range(1, 4):
        next(results)
        assert pieces.taken == num_read + 4


ITEMS = [Item(item_id=str(row), texts={"title": f"thing {row} of {row % 3} kinds"}) for row in range(9)]
SEQUENCES = random_sequences(12, 40)


def neighbours(run_by: Engine, _: Path) -> bytes:
    return neighbour_counts(SEQUENCES, 12, 3, run_by).toarray().tobytes()


def pairs_of_items(run_by: Engine, _: Path) -> bytes:
    return pair_counts(SEQUENCES, 12, 3, run_by).toarray().tobytes()


def merge_rules(run_by: Engine, _: Path) -> bytes:
    weights = np.random.default_rng(0).choice([0.3, 0.5, 1.0], len(SEQUENCES.items)).astype(np.float32)
    weighted = ItemSequences(SEQUENCES.items, SEQUENCES.offsets, weights)
    sets = random_feature_sets(12, (4, 4, 4))
    learned = learn_vocabulary(sets, ("a", "b", "c"), (4, 4, 4), weighted, 14 + 40, engine=run_by)
    return np.stack([learned.left, learned.right, learned.scaled_counts]).tobytes()


def embeddings(run_by: Engine, folder: Path) -> bytes:
    encoder = BuiltinTextEncoder.fit(ITEMS, 4, 0)
    encode_items.encode_items(folder, "text", ITEMS, lambda: encoder, folder / "cache", silent, run_by)
    return encode_items.load_embeddings(folder / "embeddings.npz").vectors.tobytes()


@pytest.mark.parametrize("compute", [neighbours, pairs_of_items, merge_rules, embeddings])
def test_counts_rules_and_embeddings_are_equal_to_the_bit_though_a_worker_is_killed(
    engine: Engine, compute: Callable[[Engine, Path], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behaviour, "MOST_PAIRS", 90)
    monkeypatch.setattr(strongest_entries, "MOST_ENTRIES", 200)
    monkeypatch.setattr(count_parts, "MOST_ENTRIES", 300)
    monkeypatch.setattr(encode_items, "CHUNK_ITEMS", 2)
    found = []
    for name, run_by in (("alone", IN_THIS_PROCESS), ("ray", KilledInTheMiddle(engine, tmp_path / "killed"))):
        (tmp_path / name).mkdir()
        found.append(compute(run_by, tmp_path / name))
    assert (tmp_path / "killed").exists()
    assert found[0] == found[1]


def test_a_killed_run_resumes_on_the_cluster_with_the_lists_of_one_process(
    engine: Engine, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_lists, "USERS_PER_PART", 4)
    bundle, whole, out = tiny_bundle(tmp_path / "bundle"), tmp_path / "whole.parquet", tmp_path / "out.parquet"
    lines: list[str] = []
    recommend_users(bundle, shop, whole, 3, device="cpu", progress=silent, report=lines.append)
    with pytest.raises(Killed):
        recommend_users(bundle, shop, out, 3, device="cpu", progress=killed_after(6), report=lines.append)
    recommend_users(bundle, shop, out, 3, device="cpu", engine=engine, progress=silent, report=lines.append)
    assert [line[:21] for line in lines] == ["resuming after 4 of 1"]
    assert pq.read_table(out).equals(pq.read_table(whole))


def test_a_training_whose_worker_is_killed_resumes_and_ends_as_in_one_process(engine: Engine, tmp_path: Path) -> None:
    process_id = tmp_path / "process-id"
    train = partial(dense, tmp_path / "two", partial(killing, process_id))
    engine.fit(partial(noted, process_id, train))
    assert killed_file(process_id).exists()
    alone = dense(tmp_path / "one")
    assert load_progress(tmp_path / "two").losses == pytest.approx(alone.losses, rel=1e-4)
    expected, found = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    assert all(found[name].numpy() == pytest.approx(one.numpy(), abs=2e-3) for name, one in expected.items())


def picture_embeddings(run_by: Engine, folder: Path) -> bytes:
    torch.manual_seed(0)
    items, encoder = tiny_items(20), LearnedImageEncoder(PictureNetwork(4))
    encode_items.encode_items(folder, "image", items, lambda: encoder, folder / "cache", silent, run_by)
    return encode_items.load_embeddings(folder / "embeddings.npz").vectors.tobytes()


# Ray's GPU is a number: it gives each to one worker, which computes on its CPU.
@pytest.mark.usefixtures("engine")
def test_where_workers_have_gpus_others_decode_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_items, "CHUNK_ITEMS", 3)
    with_gpu = RayCluster(1, has_gpus=True, folder=tmp_path)
    places = list(with_gpu.map(with_its_process, [0, 1, 2], process_of))
    assert len({worker for _, worker in places}) == 1
    assert all(decoder not in (worker, os.getpid()) for decoder, worker in places)
    found = []
    for name, run_by in (("alone", IN_THIS_PROCESS), ("ray", with_gpu)):
        (tmp_path / name).mkdir()
        found.append(picture_embeddings(run_by, tmp_path / name))
    assert np.frombuffer(found[0], np.float32).any()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--workers", "2"], "--workers goes with --engine ray; add it, or leave the flag out"),
        (["--address", "auto"], "--address goes with --engine ray; add it, or leave the flag out"),
        (["--engine", "ray", "--device", "cuda:1"], "--device cuda:1 names one GPU for all processes"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags: list[str], expected: str, tmp_path: Path) -> None:
    for command in (["run", "--data", "shop"], ["recommend", "bundle", "--users", "shop"]):
        ran = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out.csv"), *flags])
        assert isinstance(ran.exception, SettingsError)
        assert expected in str(ran.exception)
