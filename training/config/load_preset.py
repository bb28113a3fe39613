"""Turn a preset's TOML and `--set key=value` overrides into one frozen settings object a stage.

Knows where presets lie, and which numbers no stage could work with. Start at `load_preset`.
"""

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from clairo_core.errors import SettingsError
from clairo_core.generation.t5.generator_checkpoint import Softmax
from training.config.preset import AUTO, RECURRENT, TRANSFORMER, Preset

PRESETS_FOLDER = Path(__file__).parents[1] / "presets"


def load_preset(name_or_path: str, overrides: Sequence[str] = ()) -> Preset:
    """Read a preset by name (`clairo`) or from a TOML file, then apply `section.key=value` overrides in order.

    Raises:
        SettingsError: no such preset, an unknown section or key, a value of another type, or one out of range.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = PRESETS_FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(preset.stem for preset in PRESETS_FOLDER.glob("*.toml")))
        raise SettingsError(f"preset {name_or_path!r} does not exist; choose one of {known}, or name a .toml file")
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML ({error}); see training/presets/clairo.toml for the form") from error
    for override in overrides:
        section, key, value = parse_override(override)
        table = sections.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"--set {override}: {section} is no section of a preset")
        table[key] = value
    preset = preset_from_sections(path.stem, sections, str(path))
    check_ranges(preset)
    return preset


def parse_override(override: str) -> tuple[str, str, object]:
    """Split `section.key=value`; the value is read as TOML, or taken as a string where it is none.

    >>> parse_override("fit.max_epochs=3")
    ('fit', 'max_epochs', 3)
    >>> parse_override("encode.modalities=text,image")
    ('encode', 'modalities', 'text,image')
    """
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot or not section or not key:
        raise SettingsError(f"--set {override!r}: expected section.key=value, such as fit.max_epochs=10")
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return section, key, value


def preset_from_sections(name: str, sections: dict[str, Any], source: str) -> Preset:
    """Build the settings objects, refusing unknown names and wrong types."""
    types = {key: kind for key, kind in get_type_hints(Preset).items() if key != "name"}
    parts = {}
    for section, table in sections.items():
        if section not in types:
            raise SettingsError(f"{source}: unknown section {section!r}; {nearest(section, types)}")
        hints = get_type_hints(types[section])
        values = {}
        for key, value in table.items():
            if key not in hints:
                raise SettingsError(f"{source}: unknown setting {section}.{key}; {nearest(key, hints)}")
            values[key] = coerced(value, hints[key], f"{source}: {section}.{key}")
        parts[section] = types[section](**values)
    return Preset(name=name, **parts)


def nearest(name: str, known: Sequence[str] | dict[str, Any]) -> str:
    """What an error offers instead of `name`."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"


def coerced(value: object, kind: Any, where: str) -> object:
    """The value as `kind`; an integer is a float too, and a comma-separated string is a list."""
    if get_origin(kind) is tuple:
        parts = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        element = get_args(kind)[0]
        if not isinstance(parts, (list, tuple)) or not all(isinstance(part, element) for part in parts):
            raise SettingsError(f"{where} is {value!r}; expected a list of {element.__name__}")
        return tuple(parts)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise SettingsError(f"{where} is {value!r}; expected {kind.__name__}")
    return value


def check_ranges(preset: Preset) -> None:
    """Refuse numbers that no stage could work with."""
    at_least_one = {
        "encode.text_dim": preset.encode.text_dim,
        "encode.learned_dim": preset.encode.learned_dim,
        "encode.learned_epochs": preset.encode.learned_epochs,
        "fuse.dim_per_modality": preset.fuse.dim_per_modality,
        "align.window": preset.align.window,
        "quantize.num_codebooks": preset.quantize.num_codebooks,
        "quantize.num_centroids": preset.quantize.num_centroids,
        "quantize.min_items_per_centroid": preset.quantize.min_items_per_centroid,
        "generator.d_model": preset.generator.d_model,
        "generator.num_layers": preset.generator.num_layers,
        "generator.num_heads": preset.generator.num_heads,
        "fit.batch_size": preset.fit.batch_size,
        "fit.max_epochs": preset.fit.max_epochs,
        "fit.max_history_items": preset.fit.max_history_items,
        "fit.validation_users": preset.fit.validation_users,
        "dense.width": preset.dense.width,
        "dense.num_layers": preset.dense.num_layers,
        "dense.num_heads": preset.dense.num_heads,
        "dense.positions_per_batch": preset.dense.positions_per_batch,
        "dense.max_epochs": preset.dense.max_epochs,
        "dense.patience": preset.dense.patience,
        "dense.max_history_items": preset.dense.max_history_items,
        "dense.validation_users": preset.dense.validation_users,
        "mix.max_users": preset.mix.max_users,
        "mix.ease_weights_per_item": preset.mix.ease_weights_per_item,
        "evaluate.num_views": preset.evaluate.num_views,
        "evaluate.num_beams": preset.evaluate.num_beams,
    }
    for name, number in at_least_one.items():
        if number < 1:
            raise SettingsError(f"{name} is {number}; expected at least 1")
    shares = {
        "generator.dropout_rate": preset.generator.dropout_rate,
        "dense.dropout_rate": preset.dense.dropout_rate,
        "dense.own_dropout": preset.dense.own_dropout,
        "dense.held_out_share": preset.dense.held_out_share,
        "mix.most_lost_to_new": preset.mix.most_lost_to_new,
    }
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise SettingsError(f"{name} is {share}; expected 0 up to but not 1")
    rates = {"fit.learning_rate": preset.fit.learning_rate, "dense.learning_rate": preset.dense.learning_rate}
    for name, rate in rates.items():
        if not 0 < rate < 1:
            raise SettingsError(f"{name} is {rate}; expected more than 0 and less than 1")
    if preset.dense.encoder not in (RECURRENT, TRANSFORMER, AUTO):
        raise SettingsError(f"dense.encoder is {preset.dense.encoder!r}; expected {RECURRENT}, {TRANSFORMER} or {AUTO}")
    if preset.dense.encoder != RECURRENT and preset.dense.dim % preset.dense.num_heads:
        raise SettingsError(
            f"dense.dim is {preset.dense.dim}; expected a multiple of dense.num_heads, {preset.dense.num_heads}"
        )
    not_negative = {
        "fuse.final_dim": preset.fuse.final_dim,
        "fuse.contrastive_dim": preset.fuse.contrastive_dim,
        "align.dim": preset.align.dim,
        "align.prior_interactions": preset.align.prior_interactions,
        "align.content_weight": preset.align.content_weight,
        "dense.dim": preset.dense.dim,
        "dense.weight_decay": preset.dense.weight_decay,
        "mix.max_ease_items": preset.mix.max_ease_items,
    }
    for name, size in not_negative.items():
        if size < 0:
            raise SettingsError(f"{name} is {size}; expected 0 or more")
    if preset.fit.softmax not in list(Softmax):
        raise SettingsError(f"fit.softmax is {preset.fit.softmax!r}; expected one of {', '.join(Softmax)}")
    if not preset.encode.modalities:
        raise SettingsError("encode.modalities is empty; expected text, image, or names of vector columns")
