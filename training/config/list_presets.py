"""Presets as text: a list for a terminal, and one preset as TOML.

All of it comes from the presets' own files. Start at `presets_as_text`.
"""

import dataclasses
import json
import textwrap
from collections.abc import Iterable

from training.config.load_preset import DEFAULT_PRESET, PRESETS_FOLDER, load_preset
from training.config.preset import Preset
from training.config.preset_parts import parts_of

TRANSFORMERS4REC = (
    "Transformers4Rec has no preset: it is covered by the baselines sasrec (causal) and bert4rec (masked)."
)
_WIDTH = 110
_INDENT = "    "


def known_presets() -> list[Preset]:
    """All presets that come with CLAIRO, the default first, the others by name."""
    names = sorted(path.stem for path in PRESETS_FOLDER.glob("*.toml"))
    return [load_preset(name) for name in sorted(names, key=lambda name: name != DEFAULT_PRESET)]


def presets_as_text(presets: Iterable[Preset]) -> str:
    """Every preset with what it is, its paper, its parts and what differs from the paper."""
    return "\n\n".join([*map(_paragraph, presets), TRANSFORMERS4REC])


def preset_as_toml(preset: Preset) -> str:
    """The preset with all its settings, in a form that loads as the same preset."""
    sections = {"about": dataclasses.asdict(preset.about)}
    sections |= {name: section for name, section in preset.as_dict().items() if name != "name"}
    described = "\n".join(f"# {part}: {of}" for part, of in parts_of(preset).items())
    written = (
        "\n".join([f"[{name}]", *(f"{key} = {_value(value)}" for key, value in section.items())])
        for name, section in sections.items()
    )
    return "\n\n".join([f"# Preset {preset.name}\n{described}", *written])


def _paragraph(preset: Preset) -> str:
    about = preset.about
    paper = f"{about.paper}, {about.url}" if about.paper else ""
    parts = "; ".join(f"{part}: {of}" for part, of in parts_of(preset).items())
    lines = [about.title, paper, parts, f"differs: {' '.join(about.differs)}" if about.differs else "", *about.notes]
    wrapped = (
        textwrap.fill(line, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)
        for line in lines
        if line
    )
    return "\n".join([preset.name + (" (default)" if preset.name == DEFAULT_PRESET else ""), *wrapped])


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    # JSON's strings, numbers and booleans are TOML's, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
