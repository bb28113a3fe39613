"""Presets, overrides and the ranges of settings."""

import json
import math
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairo_core.errors import SettingsError
from training.config.load_preset import (
    PRESETS_FOLDER,
    check_together,
    load_preset,
    parse_override,
    preset_from_sections,
    type_and_range,
)
from training.config.preset import Preset
from training.config.ranges import AllowedValues, AtLeast, BelowOne, ListOf, OneOf

_UNMERGED = ("vocabulary.size=0", "vocabulary.merges_per_item=0")
_READS_CONTENT = ("generator.kind=token", "generator.reads_content=true")
SETTINGS = {
    f"{section}.{key}": type_and_range(hint)
    for section, kind in get_type_hints(Preset).items()
    if section not in ("name", "about")
    for key, hint in get_type_hints(kind, include_extras=True).items()
}


def out_of_range(kind: Any, allowed: AllowedValues) -> st.SearchStrategy[Any]:
    if isinstance(allowed, AtLeast) and kind is int:
        return st.integers(max_value=allowed.low - 1)
    if isinstance(allowed, AtLeast):
        return st.floats(max_value=allowed.low, exclude_max=True) | st.sampled_from([math.nan, math.inf])
    if isinstance(allowed, BelowOne):
        return st.floats(min_value=1) | st.floats(max_value=0, exclude_max=True) | st.just(math.nan)
    if isinstance(allowed, ListOf):
        return st.sampled_from([["", "a"], [" "], *([[]] if allowed.fewest else [])])
    return st.text().filter(lambda text: text not in allowed)


@pytest.mark.parametrize("name", [name for name, (kind, _) in SETTINGS.items() if kind is not bool])
def test_every_setting_declares_its_range(name: str) -> None:
    kind, allowed = SETTINGS[name]
    assert allowed is not None, f"{name}: {kind} has no range; annotate it as the other fields of its section"


@given(st.data())
def test_a_value_out_of_range_is_refused_by_name_and_range(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name, (_, allowed) in SETTINGS.items() if allowed is not None]))
    kind, allowed = SETTINGS[name]
    assert allowed is not None
    value = data.draw(out_of_range(kind, allowed))
    section, _, key = name.partition(".")
    with pytest.raises(SettingsError) as refused:
        preset_from_sections("mine", {section: {key: value}}, "mine.toml")
    assert str(refused.value) == f"mine.toml: {name} is {value!r}; expected {allowed}"


@pytest.mark.parametrize("allowed", [allowed for _, allowed in SETTINGS.values() if isinstance(allowed, OneOf)])
def test_every_choice_is_allowed(allowed: OneOf) -> None:
    assert all(choice in allowed for choice in allowed.choices)


def test_every_default_is_in_range() -> None:
    preset = Preset(name="defaults")
    for name, (_, allowed) in SETTINGS.items():
        section, _, key = name.partition(".")
        assert allowed is None or getattr(getattr(preset, section), key) in allowed, name
    check_together(preset)


@pytest.mark.parametrize("path", sorted(PRESETS_FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_loads_and_converts_to_json(path: Path) -> None:
    preset = load_preset(path.stem)
    assert preset.name == path.stem
    assert json.loads(json.dumps(preset.as_dict()))["name"] == path.stem


def test_overrides_are_applied_in_order() -> None:
    preset = load_preset("clairo", ["fit.max_epochs=3", "fit.max_epochs=5", "encode.modalities=text"])
    assert preset.fit.max_epochs == 5
    assert preset.encode.modalities == ("text",)


def test_an_integer_is_accepted_for_a_float() -> None:
    assert load_preset("clairo", ["fit.max_minutes=10"]).fit.max_minutes == 10.0


def test_a_list_may_be_written_as_toml() -> None:
    assert parse_override('encode.modalities=["text", "image"]')[2] == ["text", "image"]


@pytest.mark.parametrize("weights", ["auto", "text=1,image=0.5", "text=1e-3", "text = 1.", "text=.5"])
def test_fusion_weights_may_be_chosen_or_given(weights: str) -> None:
    assert load_preset("clairo", [f"fuse.weights={weights}"]).fuse.weights == tuple(weights.split(","))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("fit.max_epoch=3", "did you mean 'max_epochs'"),
        ("fitt.max_epochs=3", "did you mean 'fit'"),
        ("fit.max_epochs=many", "^preset clairo with --set: fit.max_epochs is 'many'; expected a whole number$"),
        ("fit.max_epochs=true", "expected a whole number"),
        ("fit.max_minutes=long", "expected a number"),
        ("fuse.whiten=1", "expected true or false"),
        ("encode.text_encoder=1", "expected a string"),
        ("fit.max_epochs=0", "at least 1"),
        ("fit.patience=0", "fit.patience is 0; expected at least 1"),
        ("generator.d_ff=0", "generator.d_ff is 0; expected at least 1"),
        ("evaluate.num_resamples=0", "evaluate.num_resamples is 0; expected at least 1"),
        ("fit.label_smoothing=7", "fit.label_smoothing is 7; expected at least 0 and less than 1"),
        ("fit.weight_decay=nan", "fit.weight_decay is nan; expected at least 0"),
        ("fit.learning_rate=2.0", "less than 1"),
        ("fit.learning_rate=0", "more than 0"),
        ("fit.learning_rate", "section.key=value"),
        ("max_epochs=3", "section.key=value"),
        ("fit.softmax=hierarchical", "one of vocabulary, reachable"),
        ("generator.dropout_rate=1.0", "less than 1"),
        ("dense.encoder=lstm", "recurrent, transformer, auto"),
        ("dataset.codes=tokens", "one of ids, vectors"),
        ("fuse.scheme=sum", "one of concat_pca, gate, attention, late"),
        ("fuse.weights=text:1", "modality=NUMBER, or auto"),
        ("fuse.weights=text=-1", "modality=NUMBER, or auto"),
        ("encode.image_encoder=clip", "builtin, learned, open_clip:NAME/TAG"),
        ("encode.modalities=", "1 or more of: a name"),
        ("encode.modalities=[1]", "a list, each a string"),
    ],
)
def test_a_bad_override_is_refused_with_the_next_step(override: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_preset("clairo", [override])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["dense.encoder=transformer", "dense.num_heads=3"], "expected a multiple of dense.num_heads, 3"),
        (["parallel.encoder=transformer", "parallel.num_heads=3"], "expected a multiple of parallel.num_heads, 3"),
        (["parallel.encoder=recurrent", "parallel.width=75"], "expected a multiple of parallel.num_heads, 2"),
        (["mix.kind=dense_reranks", "dense.dim=0"], "expected at least 1, as mix.kind=dense_reranks"),
        (["fuse.scheme=late", "fuse.final_dim=8"], "expected 0, as fuse.scheme=late"),
        (["vocabulary.spelling=languages", "quantize.collision=hash"], "expected index with vocabulary.spelling"),
        (
            ["split.horizon_days=7"],
            "split.horizon_days is 7, but split.kind=last .*; set split.kind=time, or leave .* at 0",
        ),
        (["split.horizon_share=0.2"], "split.horizon_share is 0.2, but split.kind=last"),
        (
            ["fuse.scheme=late", "quantize.kind=vqvae", "quantize.num_codebooks=1"],
            "expected rqvae with fuse.scheme=late",
        ),
        (["fuse.scheme=late", "quantize.num_codebooks=3"], "expected a multiple of 2, as .*, text, image, the same"),
        (
            [*_UNMERGED, "vocabulary.spelling=marked"],
            "fuse.scheme is concat_pca; expected late with .*=marked, .* else set it to ordered",
        ),
        (
            [*_UNMERGED, "vocabulary.spelling=languages", "fuse.scheme=late", "encode.modalities=text"],
            "encode.modalities is text; expected two or more with .*=languages",
        ),
        (["vocabulary.spelling=ordered"], "ordered, which merges nothing; expected vocabulary.size=0"),
        (["generator.reads_content=true"], "generator.kind is parallel; expected token with generator.reads_content"),
        (
            [*_READS_CONTENT, *_UNMERGED, "quantize.kind=random"],
            "quantize.kind is random; expected a kind that reads content with generator.reads_content=true",
        ),
        (
            [*_READS_CONTENT, "vocabulary.merges_per_item=0.5"],
            "vocabulary.merges_per_item 0.5; expected 0 for both with generator.reads_content=true",
        ),
        (
            [*_READS_CONTENT, *_UNMERGED, "vocabulary.spelling=languages", "fuse.scheme=late"],
            "vocabulary.spelling is languages; expected another one with generator.reads_content=true",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_preset("clairo", overrides)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tigre", "preset 'tigre' does not exist and is no .toml file; did you mean 'tiger'?"),
        ("zzz", "known are actionpiece, "),
        ("missing.toml", "no file missing.toml; check the path, or name a preset"),
    ],
)
def test_a_preset_that_is_not_there_is_refused_with_the_next_step(name: str, words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        load_preset(name)


def test_a_preset_file_gives_its_name_to_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[fit]\nmax_epochs = 2\n", encoding="utf-8")
    preset = load_preset(str(path))
    assert (preset.name, preset.fit.max_epochs) == ("mine", 2)


def test_a_preset_that_is_not_toml_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"mine\.toml: not TOML .*; clairo-train presets clairo prints the form"):
        load_preset(str(path))


def test_a_value_in_place_of_a_section_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("fit = 2\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"fit is 2; expected a section, written as \[fit\]"):
        load_preset(str(path))
