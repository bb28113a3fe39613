"""Presets as text: a list for a terminal, a page for the docs, and one preset as TOML.

All of it comes from the presets' own files. Start at `presets_as_text`.
"""

import dataclasses
import json
import textwrap
from collections.abc import Iterable

from training.config.load_preset import DEFAULT_PRESET, PRESETS_FOLDER, load_preset
from training.config.preset import About, Preset
from training.config.preset_parts import parts_of

TRANSFORMERS4REC = (
    "Transformers4Rec has no preset: it is covered by the baselines sasrec (causal) and bert4rec (masked)."
)
_WIDTH = 110
_INDENT = "    "

_PAGE_HEAD = """\
# Presets

A preset is a TOML in `training/presets/`: parts put together as one system of the field, sized for two cores unless
its notes say otherwise. All run through the same stages, so they can be compared on any data.

Codes that came with the data ([`[codes]`](datasets.md#codes-precomputed-codes)) replace all parts up to the quantizer,
but for presets that number items.

```sh
clairo-train presets                 # this page
clairo-train presets clairo          # one preset with all its settings, as TOML
clairo-train compare --data demo/shop --presets clairo,rpg --out demo/table
```

To change one, `clairo-train presets clairo > mine.toml`, edit the file, and train with `--preset mine.toml`.
"""
_PRE_TRAINING = """\
## Pre-training on other data

```sh
clairo-train run --data other/shop --preset mql4grec --out bundles/other
clairo-train run --data demo/shop --from bundles/other --set fit.max_epochs=4 --out bundles/shop
```

`--from` takes a bundle of any preset that reads content. Encoders, fusion, codebooks and vocabulary stay, so codes
mean the same on both data sets; all items get theirs from content, as posted items do. The generator starts from the
bundle's weights, as measured before the refit. Dense heads and counts are learned from the new data alone. Settings
are the bundle's, but for `--set`, which is refused for what the bundle has decided. Codes that came with the new data
are not read, and its items need the modalities that the bundle reads. For several data sets, repeat the second command,
or write them as one first.
"""
_PAGE_FOOT = "This page is written from the presets' files by `make pages`.\n"


def known_presets() -> list[Preset]:
    """All presets that come with CLAIRO, the default first, the others by name."""
    names = sorted(path.stem for path in PRESETS_FOLDER.glob("*.toml"))
    return [load_preset(name) for name in sorted(names, key=lambda name: name != DEFAULT_PRESET)]


def presets_as_text(presets: Iterable[Preset]) -> str:
    """Every preset with what it is, its paper, its parts and what differs from the paper."""
    return "\n\n".join([*map(_paragraph, presets), TRANSFORMERS4REC])


def presets_as_page(presets: Iterable[Preset]) -> str:
    """The same as Markdown, for docs/presets.md."""
    presets = list(presets)
    parts = [parts_of(preset) for preset in presets]
    names = [f"`{preset.name}`" for preset in presets]
    what = _table(
        ["preset", "is", "paper"],
        [[name, preset.about.title, _link(preset.about)] for name, preset in zip(names, presets, strict=True)],
    )
    made_of = _table(["preset", *parts[0]], [[name, *of.values()] for name, of in zip(names, parts, strict=True)])
    sections = [
        _PAGE_HEAD,
        what,
        f"{TRANSFORMERS4REC}\n",
        "## Parts\n",
        made_of,
        _PRE_TRAINING,
        "## Differences and notes\n",
    ]
    for name, preset in zip(names, presets, strict=True):
        lines = [*preset.about.differs, *preset.about.notes]
        if lines:
            sections.append("\n".join([f"**{name}**\n", *(f"- {line}" for line in lines)]) + "\n")
    return "\n".join([*sections, _PAGE_FOOT])


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


def _link(about: About) -> str:
    return f"[{about.paper}]({about.url})" if about.paper else ""


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    # JSON's strings, numbers and booleans are TOML's, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
