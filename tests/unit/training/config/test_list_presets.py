"""Presets listed, printed as TOML, and documented; every preset's own file says what it is."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from training.cli import app
from training.config.list_presets import (
    TRANSFORMERS4REC,
    known_presets,
    preset_as_toml,
    presets_as_text,
)
from training.config.load_preset import PRESETS_FOLDER, load_preset
from training.config.preset_parts import parts_of

NAMES = sorted(path.stem for path in PRESETS_FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_says_what_it_is_and_what_differs_from_its_paper(name: str) -> None:
    about = load_preset(name).about
    assert about.title, f"{name}.toml: give it a title in [about]"
    assert not about.title.endswith("."), f"{name}.toml: a title is no sentence; drop the full stop"
    if about.paper or about.url or about.differs:
        assert re.match(r"\S.* (19|20)\d\d, \".+\"$", about.paper), f'{name}.toml: expected Names YEAR, "Title"'
        assert about.url.startswith("https://"), f"{name}.toml: link the paper"
        assert about.differs, f"{name}.toml: say what differs from the paper"


def test_the_default_is_listed_first_and_every_preset_once() -> None:
    names = [preset.name for preset in known_presets()]
    assert names[0] == "clairo"
    assert sorted(names) == NAMES


def test_the_list_holds_title_paper_parts_and_differences() -> None:
    text = presets_as_text(known_presets())
    flat = " ".join(text.split())
    for preset in known_presets():
        for line in (preset.about.title, preset.about.paper, *preset.about.differs, *parts_of(preset).values()):
            assert line in flat, f"{preset.name}: {line}"
    assert text.endswith(TRANSFORMERS4REC)


def test_parts_follow_from_the_settings() -> None:
    assert set(parts_of(load_preset("p5_ids")).values()) == {
        "none",
        "sequential numbers in base 256",
        "codes, ordered",
        "T5, 2 layers of 64",
        "generator alone",
    }
    assert parts_of(load_preset("mmgrec"))["alignment"] == "graph of 2 layers, 64"
    changed = parts_of(load_preset("clairo", ["fuse.scheme=gate", "fuse.whiten=true", "quantize.collision=hash"]))
    assert changed["fusion"] == "PCA 64 each, gate, whitened"
    assert changed["quantizer"] == "opq 16 x 256, 128 hash buckets"


def test_the_command_prints_the_list_and_one_preset() -> None:
    listed = CliRunner().invoke(app, ["presets"])
    assert listed.exit_code == 0
    assert listed.output.startswith("clairo (default)\n")
    one = CliRunner().invoke(app, ["presets", "rpg"])
    assert one.output == preset_as_toml(load_preset("rpg")) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_preset_loads_as_the_same_preset(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(preset_as_toml(load_preset(name)), encoding="utf-8")
    printed, known = load_preset(str(path)), load_preset(name)
    assert (printed, printed.about) == (known, known.about)


def test_a_preset_of_ones_own_may_leave_out_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[fit]\nmax_epochs = 2\n", encoding="utf-8")
    assert CliRunner().invoke(app, ["presets", str(path)]).output.startswith("# Preset mine\n")


def test_what_a_preset_is_changes_no_cached_result() -> None:
    assert "about" not in load_preset("clairo").as_dict()
