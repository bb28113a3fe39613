"""Turn the presets into docs/presets.md."""

from collections.abc import Iterable, Sequence

from training.config.list_presets import TRANSFORMERS4REC
from training.config.preset import About, Preset
from training.config.preset_parts import parts_of

HEAD = """\
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
PRE_TRAINING = """\
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
FOOT = "This page is written from the presets' files by `make pages`.\n"


def presets_page(presets: Sequence[Preset]) -> str:
    """The page: what every preset is, its parts, and what differs from its paper."""
    parts = [parts_of(preset) for preset in presets]
    names = [f"`{preset.name}`" for preset in presets]
    what = _table(
        ["preset", "is", "paper"],
        [[name, preset.about.title, _link(preset.about)] for name, preset in zip(names, presets, strict=True)],
    )
    made_of = _table(["preset", *parts[0]], [[name, *of.values()] for name, of in zip(names, parts, strict=True)])
    sections = [
        HEAD,
        what,
        f"{TRANSFORMERS4REC}\n",
        "## Parts\n",
        made_of,
        PRE_TRAINING,
        "## Differences and notes\n",
    ]
    for name, preset in zip(names, presets, strict=True):
        lines = [*preset.about.differs, *preset.about.notes]
        if lines:
            sections.append("\n".join([f"**{name}**\n", *(f"- {line}" for line in lines)]) + "\n")
    return "\n".join([*sections, FOOT])


def _link(about: About) -> str:
    return f"[{about.paper}]({about.url})" if about.paper else ""


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
