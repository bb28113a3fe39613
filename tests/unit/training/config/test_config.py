"""Presets and overrides: what is read, and what is refused in which words."""

import json
from pathlib import Path

import pytest

from clairo_core.errors import SettingsError
from training.config.load_preset import PRESETS_FOLDER, load_preset, parse_override


@pytest.mark.parametrize("path", sorted(PRESETS_FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_loads_and_goes_into_json(path: Path) -> None:
    preset = load_preset(path.stem)
    assert preset.name == path.stem
    assert json.loads(json.dumps(preset.as_dict()))["name"] == path.stem


def test_overrides_are_applied_in_order() -> None:
    preset = load_preset("clairo", ["fit.max_epochs=3", "fit.max_epochs=5", "encode.modalities=text"])
    assert preset.fit.max_epochs == 5
    assert preset.encode.modalities == ("text",)


def test_an_integer_is_good_for_a_float() -> None:
    assert load_preset("clairo", ["fit.max_minutes=10"]).fit.max_minutes == 10.0


def test_a_list_may_be_written_as_toml() -> None:
    assert parse_override('encode.modalities=["text", "image"]')[2] == ["text", "image"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("fit.max_epoch=3", "did you mean 'max_epochs'"),
        ("fitt.max_epochs=3", "did you mean 'fit'"),
        ("fit.max_epochs=many", "expected int"),
        ("fit.max_epochs=true", "expected int"),
        ("fit.max_epochs=0", "at least 1"),
        ("fit.learning_rate=2.0", "less than 1"),
        ("fit.learning_rate", "section.key=value"),
        ("max_epochs=3", "section.key=value"),
        ("generator.dropout_rate=1.0", "up to but not 1"),
        ("dense.encoder=lstm", "recurrent, transformer or auto"),
        ("encode.modalities=", "empty"),
        ("encode.modalities=[1]", "list of str"),
    ],
)
def test_a_bad_override_is_refused_with_the_next_step(override: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_preset("clairo", [override])


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(SettingsError, match="clairo"):
        load_preset("claro")


def test_a_preset_of_ones_own_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[fit]\nmax_epochs = 2\n", encoding="utf-8")
    preset = load_preset(str(path))
    assert (preset.name, preset.fit.max_epochs) == ("mine", 2)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"mine\.toml: not TOML"):
        load_preset(str(path))
