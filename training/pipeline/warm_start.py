"""Continue from an earlier bundle: its features and tokens, its generator's weights, and more tokens on request.

Encoders, fusion and quantizer stay, so items of the bundle keep their features and new items get the features that the
service gave them. The vocabulary stays or grows, and the generator starts from the bundle's weights as measured: after
a refit they know the validation items of this run. Dense head, item weights and mixture count interactions and are
learned from scratch.

On other data, the same is pre-training: its items get their features from the bundle, as posted items do. Start at
`taken_over`.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clairo_core.bundle.bundle import Bundle
from clairo_core.bundle.manifest import BundleManifest
from clairo_core.errors import GeneratorError, SettingsError
from clairo_core.generation.parallel.parallel_checkpoint import holds_network, load_network
from clairo_core.generation.t5.generator_checkpoint import CONTENT_T5, Softmax
from training.config.load_preset import parse_override
from training.config.preset import PARALLEL, GeneratorSettings, Preset
from training.generator.fit_parallel import READERS
from training.workbench.bundle_dataset import split_of

_NAMES_BY_SECTION: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("encode", "fuse", "align", "quantize", "autoencoder"), ()),
    "vocabulary": ("size", "merges_per_item", "spelling"),
}
"""Settings of how items get features and tokens, which a bundle has decided; without names, all of the section."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The bundle to continue from."""

    bundle: Bundle
    added_tokens: int = 0
    """By how many tokens its vocabulary grows."""
    keeps_items: bool = True
    """Items with the bundle's ids are the bundle's. False for other data."""


def taken_over(start: WarmStart, asked: Preset, overrides: Sequence[str], flag: str) -> Preset:
    """The preset as `preset_of` makes it, where no override asks for something else.

    Args:
        start: the bundle.
        asked: the preset with the overrides.
        overrides: as `section.key=value`.
        flag: of the command line, for errors.

    Raises:
        GeneratorError: see `preset_of`.
        SettingsError: see `preset_of`; or an override is of what comes from the bundle.
    """
    taken = preset_of(start, asked)
    replaced = sorted({override for override in overrides if value_of(override, asked) != value_of(override, taken)})
    if replaced:
        raise SettingsError(
            f"{flag}: encoders, fusion, codes, tokens and the generator's shape are those of bundle "
            f"{start.bundle.manifest.bundle_id}; got --set {', '.join(replaced)}; leave it out, or train from scratch"
        )
    return taken


def value_of(override: str, preset: Preset) -> object:
    """What a preset has for the setting of a SECTION.KEY=VALUE."""
    section, key, _ = parse_override(override)
    return getattr(getattr(preset, section), key)


def preset_of(start: WarmStart, preset: Preset) -> Preset:
    """The preset with the bundle's settings of features and tokens, and its generator: kind, shape, a T5's softmax.

    Raises:
        GeneratorError: the bundle's generator cannot be read, or is of a shape that is not trained any more.
        SettingsError: tokens are added for a generator that reads none, or the bundle was trained with another split.
    """
    manifest = start.bundle.manifest
    if preset.split.rule != split_of(manifest).rule:
        raise SettingsError(
            f"the bundle to start from, {manifest.bundle_id}, was trained with {split_of(manifest).rule}; got "
            f"{preset.split.rule}, which may hold out what it has learned; keep the split, or train from scratch"
        )
    folder, preset = start.bundle.measured_generator_folder, _with_features_of(manifest, preset)
    preset = dataclasses.replace(
        preset, encode=dataclasses.replace(preset.encode, modalities=tuple(start.bundle.encoders))
    )
    if holds_network(folder):
        if start.added_tokens:
            raise SettingsError(
                f"--added-tokens {start.added_tokens}: the bundle's generator predicts codes and reads no tokens; "
                "leave the flag out"
            )
        sizes = load_network(folder).sizes
        encoder = next((encoder for encoder, kind in READERS.items() if kind == sizes.reader), None)
        if encoder is None:
            raise GeneratorError(
                f"the bundle to start from, {manifest.bundle_id}, has a generator that reads histories by "
                f"{sizes.reader}, which is not trained any more; train from scratch"
            )
        shaped = dataclasses.replace(
            preset.parallel,
            width=sizes.width,
            max_history_items=sizes.max_history_items,
            encoder=encoder,
            num_layers=sizes.num_layers,
            num_heads=sizes.num_heads,
        )
        generator = dataclasses.replace(preset.generator, kind=PARALLEL)
        return dataclasses.replace(preset, generator=generator, parallel=shaped)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    reads_content = config["model_type"] == CONTENT_T5
    if reads_content and start.added_tokens:
        raise SettingsError(
            f"--added-tokens {start.added_tokens}: the bundle's T5 has generator.reads_content=true, which "
            "takes tokens that do not merge; leave the flag out"
        )
    names = {field.name for field in dataclasses.fields(GeneratorSettings)} - {"kind", "reads_content"}
    return dataclasses.replace(
        preset,
        generator=GeneratorSettings(reads_content=reads_content, **{name: config[name] for name in names}),
        fit=dataclasses.replace(preset.fit, softmax=config.get("softmax", Softmax.VOCABULARY.value)),
    )


def _with_features_of(manifest: BundleManifest, preset: Preset) -> Preset:
    """The preset with the settings that made the bundle's features and tokens, as far as the bundle has them."""
    sections = {}
    for section, names in _NAMES_BY_SECTION.items():
        settings, saved = getattr(preset, section), manifest.settings.get(section, {})
        of_section = names or tuple(field.name for field in dataclasses.fields(settings))
        found = {name: saved[name] for name in of_section if name in saved}
        as_tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        sections[section] = dataclasses.replace(settings, **as_tuples)
    return dataclasses.replace(preset, **sections)
