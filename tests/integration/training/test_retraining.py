"""Retraining: a service's own items and feedback become its next bundle, promoted if it is not worse."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from safetensors.torch import load_file
from typer.testing import CliRunner

from clairo_core.bundle.load_bundle import load_bundle
from clairo_core.bundle.manifest import read_manifest
from clairo_core.errors import ClairoError, DatasetError, SettingsError
from tests.integration.training.test_training_run import FAST
from tests.running_service import drawn_picture, running_process
from tests.tiny import tiny_bundle
from training.cli import app

NUM_ITEMS = 40
NUM_USERS = 60
LEARNED = ("fit.learning_rate=0.01", "fit.max_epochs=4", "mix.max_users=30")
UNLEARNED = ("fit.learning_rate=0.000001", "fit.max_epochs=1", "dense.dim=0")


@dataclass(frozen=True)
class Shop:
    """A running service whose users go round the catalogue."""

    client: httpx.Client
    bundles: Path
    database: str

    def tell(self, first_step: int, num_steps: int, when: float) -> None:
        """Add steps of every user: each item is followed by the next."""
        events = [
            {
                "event_id": f"{user}-{step}",
                "user_id": f"user-{user}",
                "item_id": f"item-{(user + step) % NUM_ITEMS}",
                "type": "click",
                "timestamp": when + step / 100,
            }
            for user in range(NUM_USERS)
            for step in range(first_step, first_step + num_steps)
        ]
        answer = self.client.post("/feedback", json={"events": events})
        assert answer.json()["num_accepted"] == len(events)

    def served(self) -> str:
        return str(self.client.get("/info").json()["bundle_id"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    bundles = folder / "bundles"
    first = tiny_bundle(bundles / "first", num_items=NUM_ITEMS)
    with (
        running_process(first, folder / "data", "--bundles-dir", str(bundles)) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        yield Shop(client, bundles, f"sqlite:///{folder / 'data' / 'clairo.db'}")


def retrain(shop: Shop, out: str, overrides: tuple[str, ...], *flags: str) -> Result:
    sets = [part for override in (*FAST, *overrides) for part in ("--set", override)]
    source = ["--data", "service", "--service-database", shop.database]
    return CliRunner().invoke(
        app,
        [
            "run",
            "--preset",
            "clairo_token",
            *source,
            "--out",
            str(shop.bundles / out),
            "--device",
            "cpu",
            *sets,
            *flags,
        ],
    )


def test_a_better_bundle_is_promoted_and_a_worse_one_is_not(shop: Shop) -> None:
    untrained = shop.served()
    now = time.time()
    shop.tell(0, 6, now)
    picture = drawn_picture()
    form = {"item_id": (None, "posted-mug"), "title": (None, "Posted mug"), "picture": ("mug.png", picture)}
    assert shop.client.post("/items", files=form).status_code == 201

    result = retrain(shop, "second", LEARNED, "--promote", str(shop.client.base_url), "--since", "2020-01-01")
    assert result.exit_code == 0, result.output
    learned = read_manifest(shop.bundles / "second")
    against = learned.metrics["against_serving"]
    assert against["serving_bundle_id"] == untrained
    assert against["num_users"] == NUM_USERS
    assert against["ndcg_at_10"] > against["serving_ndcg_at_10"]
    assert learned.is_refitted, "it was compared without the newest events, and then learned them too"
    assert f"NDCG@10 {against['ndcg_at_10']:.4f}" in result.stdout
    assert f"{untrained} {against['serving_ndcg_at_10']:.4f}" in result.stdout
    assert f"bundle {learned.bundle_id} is served from now on" in result.stdout
    assert shop.served() == learned.bundle_id
    # The posted item belongs to the new bundle and can be recommended.
    assert shop.client.get("/items/posted-mug").json()["origin"] == "bundle"
    assert shop.client.get("/items/posted-mug/picture").status_code == 200

    shop.tell(6, 2, now + 1000)
    result = retrain(shop, "third", UNLEARNED, "--promote", str(shop.client.base_url))
    assert result.exit_code == 0, result.output
    worse = read_manifest(shop.bundles / "third")
    against = worse.metrics["against_serving"]
    assert against["serving_bundle_id"] == learned.bundle_id
    assert against["num_users"] == NUM_USERS
    assert against["ndcg_at_10"] < against["serving_ndcg_at_10"]
    assert not worse.is_refitted
    assert f"bundle {worse.bundle_id} is not promoted" in result.stdout
    assert shop.served() == learned.bundle_id
    # The service checks these figures too.
    refused = shop.client.post(f"/bundles/{worse.bundle_id}/activate")
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:clairo:problem:worse-bundle"

    # The same short training, but as a warm start from the serving bundle.
    shop.client.put("/items/posted-lamp", json={"title": "Posted lamp"})
    flags = ("--serving", str(shop.bundles / "second"), "--warm-start", "--added-tokens", "8")
    result = retrain(shop, "fourth", UNLEARNED, *flags)
    assert result.exit_code == 0, result.output
    old, warm = load_bundle(shop.bundles / "second"), load_bundle(shop.bundles / "fourth")
    weights = [
        load_file(folder / "model.safetensors")["shared.weight"]
        for folder in (old.measured_generator_folder, warm.generator_folder)
    ]
    assert (weights[0] - weights[1][: len(weights[0])]).abs().max() < 1e-3
    assert warm.manifest.metrics["against_serving"]["num_users"] == NUM_USERS
    assert old.vocabulary.size < warm.vocabulary.size <= old.vocabulary.size + 8
    assert warm.catalogue.find_row("posted-lamp") is not None
    for item_id in old.catalogue.item_ids:
        rows = (old.catalogue.row_of(item_id), warm.catalogue.row_of(item_id))
        assert (old.catalogue.feature_sets[rows[0]] == warm.catalogue.feature_sets[rows[1]]).all()
    assert shop.served() == learned.bundle_id

    left = {path.name for path in shop.bundles.iterdir()}
    assert left == {"first", "second", "third", "fourth", ".stages-of-service"}
    assert {path.name for path in (shop.bundles / ".stages-of-service").iterdir()} <= {"embeddings"}


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ((), "--serving, or the service's address with --promote"),
        (("--promote", "shop.test:8000"), "expected http://HOST:PORT"),
        (("--promote", "http://127.0.0.1:9"), "no valid response"),
        (("--serving", "nowhere"), "nowhere"),
        (("--promote", "http://shop.test", "--promote-key-file", "no-key"), "cannot be read as a key"),
    ],
)
def test_missing_flags_are_reported_before_training(tmp_path: Path, flags: tuple[str, ...], why: str) -> None:
    result = CliRunner().invoke(app, ["run", "--data", "service", "--out", str(tmp_path / "new"), *flags])
    assert isinstance(result.exception, ClairoError)
    assert why in str(result.exception)
    assert not (tmp_path / "new").exists()


def test_service_flags_require_data_service(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", "--data", str(tmp_path), "--out", str(tmp_path / "new"), "--since", "9d"])
    assert isinstance(result.exception, SettingsError)
    assert "does not go with --since; take --data service" in str(result.exception)


def test_added_tokens_require_a_warm_start(tmp_path: Path) -> None:
    flags = ["--data", "service", "--out", str(tmp_path / "new"), "--added-tokens", "8"]
    result = CliRunner().invoke(app, ["run", *flags])
    assert isinstance(result.exception, SettingsError)
    assert "goes with --warm-start" in str(result.exception)


def test_the_serving_bundle_is_not_overwritten(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "first", num_items=NUM_ITEMS)
    flags = ["--data", "service", "--serving", str(bundle), "--out", str(bundle), "--overwrite"]
    result = CliRunner().invoke(app, ["run", *flags])
    assert isinstance(result.exception, SettingsError)
    assert "is the serving bundle" in str(result.exception)


def test_an_unreadable_database_is_reported_in_one_line(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "first", num_items=NUM_ITEMS)
    database = ["--service-database", "nonsense://nowhere:secret@host/x"]
    flags = ["--data", "service", "--serving", str(bundle), "--out", str(tmp_path / "new"), *database]
    result = CliRunner().invoke(app, ["run", *flags])
    assert isinstance(result.exception, DatasetError)
    assert "expected sqlite:///PATH" in str(result.exception)
    assert "secret" not in str(result.exception)
