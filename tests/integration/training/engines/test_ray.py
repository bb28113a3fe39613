"""Two workers of a real Ray cluster give what one process gives, also where one of them is killed."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from clairo_core.encoders import BuiltinTextEncoder
from clairo_core.errors import EncoderError, SettingsError
from clairo_core.items import Item
from clairo_core.progress import silent
from tests.engine_trainings import killed_file, killing, noted, parallel, weights_of
from tests.ray_head import ray_head
from tests.tiny import random_sequences, tiny_bundle
from training.cli import app
from training.engines.engine import IN_THIS_PROCESS, Engine
from training.engines.ray_cluster import opened_ray
from training.items import behaviour, encode_items
from training.items.behaviour import neighbour_counts
from training.recommending import write_lists
from training.recommending.recommend_users import recommend_users
from training.workbench.checkpoints import load_progress

pytestmark = [
    pytest.mark.timeout(600),
    # Ray's own, in 2.60.
    pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Killed(BaseException):
    """A kill, as far as the process lives to notice."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ray_head() as started:
        yield started


@pytest.fixture(scope="module")
def engine(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with opened_ray(address, 2, "cpu", tmp_path_factory.mktemp("ray")) as opened:
        yield opened


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A data set whose user n went from item-n to item-(n + 2)."""
    folder = tmp_path / "shop"
    folder.mkdir()
    items = [f"item-{number}" for number in range(20)]
    steps = [(f"user-{user:02}", f"item-{user + step}", step) for user in range(11) for step in range(3)]
    (folder / "items.csv").write_text("\n".join(["item_id,title", *(f"{one},Thing {one}" for one in items)]))
    rows = [f"{user_id},{item_id},{order}" for user_id, item_id, order in steps]
    (folder / "visits.csv").write_text("\n".join(["user_id,item_id,position", *rows]))
    (folder / "dataset.toml").write_text(
        'name = "shop"\n[items]\nfile = "items.csv"\ntexts = ["title"]\n'
        '[interactions]\nfile = "visits.csv"\nposition = "position"\n'
    )
    return folder


def squaring(killed_once: Path) -> Callable[[tuple[int, str]], tuple[int, list[int]]]:
    """A function that kills its process at the first piece 3."""
    values = np.arange(8)

    def square(piece: tuple[int, str]) -> tuple[int, list[int]]:
        number, _ = piece
        if number == 3 and not killed_once.exists():
            killed_once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number, (values[:number] ** 2).tolist()

    return square


# First: a process has one connection, which `engine` keeps.
def test_workers_beyond_the_cluster_are_refused(address: str, tmp_path: Path) -> None:
    with (
        pytest.raises(SettingsError, match="--workers 3: the cluster has 2 CPUs"),
        opened_ray(address, 3, "cpu", tmp_path),
    ):
        pass


def refusing() -> Callable[[int], int]:
    """A function whose second piece is refused."""

    def refuse(piece: int) -> int:
        if piece == 1:
            raise EncoderError("piece 1 is unreadable")
        return piece

    return refuse


def test_an_error_of_a_piece_keeps_its_name(engine: Engine) -> None:
    with pytest.raises(EncoderError, match="piece 1 is unreadable"):
        list(engine.map(refusing, [0, 1]))


def test_pieces_come_in_order_and_as_they_are_though_a_worker_is_killed(engine: Engine, tmp_path: Path) -> None:
    pieces = [(number, "x") for number in range(8)]
    found = list(engine.map(partial(squaring, tmp_path / "killed"), pieces))
    assert (tmp_path / "killed").exists()
    assert found == list(IN_THIS_PROCESS.map(partial(squaring, tmp_path / "killed"), pieces))
    assert list(engine.map(partial(squaring, tmp_path / "killed"), [])) == []


def test_counts_and_embeddings_are_equal_to_the_bit(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences, found = random_sequences(12, 40), []
    monkeypatch.setattr(behaviour, "MOST_PAIRS", 90)
    monkeypatch.setattr(encode_items, "CHUNK_ITEMS", 3)
    items = [Item(item_id=str(row), texts={"title": f"thing {row} of {row % 3} kinds"}) for row in range(9)]
    encoder = BuiltinTextEncoder.fit(items, 4, 0)
    for run_by in (IN_THIS_PROCESS, engine):
        folder = tmp_path / type(run_by).__name__
        folder.mkdir()
        encode_items.encode_items(folder, "text", items, lambda: encoder, folder / "cache", silent, run_by)
        neighbours = neighbour_counts(sequences, 12, 3, run_by)
        embeddings = encode_items.load_embeddings(folder / "embeddings.npz")
        found.append([neighbours.toarray().tobytes(), embeddings.vectors.tobytes()])
    assert found[0] == found[1]


def killed_after(num_users: int) -> Any:
    def progress(steps: Iterable[int], label: str, total: int | None = None) -> Iterator[int]:
        for done, step in enumerate(steps):
            if label == "recommending" and done == num_users:
                raise Killed
            yield step

    return progress


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
    train = partial(parallel, tmp_path / "two", partial(killing, process_id))
    engine.fit(partial(noted, process_id, train))
    assert killed_file(process_id).exists()
    alone = parallel(tmp_path / "one")
    assert load_progress(tmp_path / "two").losses == pytest.approx(alone.losses, rel=1e-4)
    expected, found = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    assert all(found[name].numpy() == pytest.approx(one.numpy(), abs=2e-3) for name, one in expected.items())


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
