"""The serving bundle's settings and rules, taken over by the next run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairo_core.bundle.manifest import BundleManifest, read_manifest
from clairo_core.errors import SettingsError
from clairo_core.events import Condition, EventType, InteractionRules
from tests.tiny import tiny_bundle
from training.config.load_preset import load_preset
from training.retraining.carried_over import differences, next_preset, next_rules

RULES = InteractionRules(
    types={
        "purchase": EventType(),
        "view": EventType(weight=0.2, is_read=False),
        "loved": EventType(when=Condition.parse("rating >= 4")),
        "return": EventType(meaning="negative"),
    },
    targets=("purchase",),
    repeats="drop",
    min_interactions=3,
)
TOML = """
[items]
file = "items.jsonl"
texts = ["title"]

[interactions]
file = "interactions.jsonl"
timestamp = "at"
type = "type"
targets = ["purchase"]

[events]
purchase = 1.0
view = 0.2
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BundleManifest:
    return read_manifest(tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", num_items=20, can_ingest=False))


@pytest.fixture
def serving(tiny: BundleManifest) -> BundleManifest:
    """Trained by preset `clairo_token` with two other settings."""
    preset = load_preset("clairo_token", ["fit.max_epochs=4", "fuse.weights=text=1,image=0.5"])
    settings = preset.as_dict() | {"seed": 7}
    return replace(tiny, preset=preset.name, settings=settings, interactions=RULES.as_dict())


def silent(line: str) -> None:
    pytest.fail(f"nothing to report, got {line}")


def test_the_next_run_has_the_serving_bundles_settings_and_rules(serving: BundleManifest) -> None:
    preset, rules = next_preset(serving, None, (), silent), next_rules(serving, None)
    assert preset == load_preset("clairo_token", ["fit.max_epochs=4", "fuse.weights=text=1,image=0.5"])
    assert rules == RULES
    assert differences(serving, preset.as_dict() | {"seed": 7}, rules) == []


def test_an_override_applies_to_the_serving_bundles_settings_and_is_listed(serving: BundleManifest) -> None:
    preset = next_preset(serving, None, ["dense.width=32"], silent)
    assert (preset.dense.width, preset.fit.max_epochs) == (32, 4)
    assert differences(serving, preset.as_dict() | {"seed": 0}, RULES) == [
        f"dense.width: 32 (serving bundle: {serving.settings['dense']['width']})",
        "seed: 0 (serving bundle: 7)",
    ]


def test_a_named_preset_replaces_the_serving_bundles_settings(serving: BundleManifest) -> None:
    preset = next_preset(serving, "clairo", ["parallel.max_epochs=2"], silent)
    assert preset == load_preset("clairo", ["parallel.max_epochs=2"])
    listed = differences(serving, preset.as_dict() | {"seed": 7}, RULES)
    assert f"parallel.max_epochs: 2 (serving bundle: {serving.settings['parallel']['max_epochs']})" in listed
    assert 'name: "clairo" (serving bundle: "clairo_token")' in listed


def test_a_setting_of_another_release_is_reported_and_left_out(serving: BundleManifest) -> None:
    settings: dict[str, Any] = {**serving.settings}
    settings["fit"] = {**settings["fit"], "gone": 1, "batch_size": -3}
    del settings["mix"]
    reported: list[str] = []
    preset = next_preset(replace(serving, settings=settings), None, (), reported.append)
    assert preset.fit.max_epochs == 4
    assert preset.fit.batch_size == load_preset("clairo_token").fit.batch_size
    assert [line.split(": ")[1].split(" ")[0] for line in reported] == ["fit.batch_size", "unknown"]
    assert all(line.endswith("left out") for line in reported)
    assert "mix.max_users: 25000 (serving bundle: not set)" in differences(
        replace(serving, settings=settings), preset.as_dict() | {"seed": 7}, RULES
    )


def test_settings_that_only_go_together_are_carried_over(serving: BundleManifest) -> None:
    preset = load_preset("mql4grec", ["split.kind=time", "split.horizon_days=7"])
    assert next_preset(replace(serving, preset=preset.name, settings=preset.as_dict()), None, (), silent) == preset


def test_a_bundle_without_settings_is_followed_by_the_default_preset(tiny: BundleManifest) -> None:
    reported: list[str] = []
    preset = next_preset(replace(tiny, settings={}), None, ["parallel.max_epochs=2"], reported.append)
    assert preset == load_preset("clairo", ["parallel.max_epochs=2"])
    assert reported == [f"bundle {tiny.bundle_id} has no settings; preset clairo is taken"]


def test_an_override_that_changes_nothing_is_reported(serving: BundleManifest) -> None:
    reported: list[str] = []
    next_preset(serving, None, ["parallel.max_epochs=2", "fit.max_epochs=2"], reported.append)
    (line,) = reported
    assert line.startswith("--set parallel.max_epochs=2 changes nothing: generator.kind is token")


def test_an_override_of_the_bundles_settings_is_checked(serving: BundleManifest) -> None:
    with pytest.raises(SettingsError, match="did you mean 'max_epochs'"):
        next_preset(serving, None, ["fit.max_epoch=2"], silent)


def test_settings_of_precomputed_codes_stay_behind(serving: BundleManifest) -> None:
    settings = {**serving.settings, "dataset": {"code_columns": ["text"], "codes": "ids"}}
    of_codes = replace(serving, settings=settings)
    preset = next_preset(of_codes, None, (), silent)
    assert preset.dataset.code_columns == ()
    assert differences(of_codes, preset.as_dict() | {"seed": 7}, RULES) == [
        'dataset.code_columns: [] (serving bundle: ["text"])'
    ]


def test_rules_of_a_toml_replace_the_bundles_and_each_field_is_listed(serving: BundleManifest, tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text(TOML, encoding="utf-8")
    rules = next_rules(serving, tmp_path)
    assert rules == next_rules(serving, tmp_path / "dataset.toml")
    assert rules.types == {"purchase": EventType(), "view": EventType(weight=0.2)}
    assert differences(serving, serving.settings, rules) == [
        'events: ["purchase", "view"] (serving bundle: ["purchase", "view", "loved", "return"])',
        'interactions.repeats: "keep" (serving bundle: "drop")',
        "interactions.min_interactions: 0 (serving bundle: 3)",
        "events.view.history: true (serving bundle: false)",
        'events.loved.counts: not set (serving bundle: "positive")',
        "events.loved.weight: not set (serving bundle: 1.0)",
        "events.loved.history: not set (serving bundle: true)",
        'events.loved.when: not set (serving bundle: "rating >= 4")',
        'events.return.counts: not set (serving bundle: "negative")',
        "events.return.weight: not set (serving bundle: 1.0)",
        "events.return.history: not set (serving bundle: true)",
        "events.return.when: not set (serving bundle: null)",
    ]


def test_a_bundle_of_an_older_release_has_the_rules_of_no_toml(tiny: BundleManifest) -> None:
    assert next_rules(replace(tiny, interactions=None), None) == InteractionRules()
