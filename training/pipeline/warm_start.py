"""Continue from an earlier bundle: its features and tokens, its generator's weights, and more tokens on request.

Encoders, fusion and quantizer stay, so items of the bundle keep their features and new items get the features that the
service gave them. The vocabulary stays or grows, and the generator starts from the bundle's weights. Dense head, item
weights and mixture count interactions and are learned from scratch.
"""

import dataclasses
import json
from dataclasses import dataclass

from clairo_core.bundle.bundle import Bundle
from clairo_core.errors import SettingsError
from clairo_core.generation.parallel.parallel_checkpoint import holds_network
from clairo_core.generation.t5.generator_checkpoint import Softmax
from training.config.preset import PARALLEL, TOKEN, GeneratorSettings, Preset


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The bundle to continue from."""

    bundle: Bundle
    added_tokens: int = 0
    """By how many tokens its vocabulary grows."""


def preset_of(start: WarmStart, preset: Preset) -> Preset:
    """The preset with the bundle's modalities, generator shape and softmax.

    Raises:
        SettingsError: the bundle's generator, or the preset's, is not a T5.
    """
    kinds = {"the bundle": PARALLEL if holds_network(start.bundle.generator_folder) else TOKEN}
    kinds["the preset"] = preset.generator.kind
    for place, kind in kinds.items():
        if kind != TOKEN:
            raise SettingsError(
                f"--warm-start: {place} has a generator of kind {kind!r}, expected {TOKEN!r}; leave the flag out"
            )
    config = json.loads((start.bundle.generator_folder / "config.json").read_text(encoding="utf-8"))
    shape = {field.name: config[field.name] for field in dataclasses.fields(GeneratorSettings) if field.name != "kind"}
    return dataclasses.replace(
        preset,
        encode=dataclasses.replace(preset.encode, modalities=tuple(start.bundle.encoders)),
        generator=GeneratorSettings(**shape),
        fit=dataclasses.replace(preset.fit, softmax=config.get("softmax", Softmax.VOCABULARY.value)),
    )
