"""Turn a preset's TOML and `--set key=value` overrides into one frozen settings object a stage.

Knows the names, types and ranges of settings; knows nothing of what the stages do with them.
Start at `load_preset`.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from clairo_core.errors import SettingsError
from clairo_core.generator_checkpoint import Softmax

PRESETS_FOLDER = Path(__file__).parent / "presets"


@dataclass(frozen=True, slots=True)
class DatasetSettings:
    """Which part of the dataset is used."""

    code_columns: tuple[str, ...] = ()
    """Precomputed code columns to take as the semantic id, by name or by prefix (`text`); empty takes all there are."""


@dataclass(frozen=True, slots=True)
class EncodeSettings:
    """Content to modality embeddings."""

    modalities: tuple[str, ...] = ("text", "image")
    """Any further name is a column of vectors in the items table."""
    text_encoder: str = "builtin"
    """Or `sentence-transformers:NAME_OR_FOLDER`; without a name, Sentence-T5."""
    image_encoder: str = "builtin"
    """Or `open_clip:NAME/TAG`, `open_clip:FOLDER`, or `learned` from the catalogue's own pictures and words."""
    text_dim: int = 256
    """Size of the built-in text encoder's modality embedding."""
    learned_dim: int = 128
    """Size of the learned image encoder's modality embedding."""
    learned_epochs: int = 25


@dataclass(frozen=True, slots=True)
class FuseSettings:
    """Modality embeddings to item embeddings."""

    dim_per_modality: int = 64
    scheme: str = "concat_pca"
    """`gate` and `attention` learn how much of each modality an item needs; `late` gives each codebooks of its own."""
    weights: tuple[str, ...] = ()
    """`text=1,image=0.5`, or `auto`: chosen on validation by nearest neighbours. Empty counts all alike."""
    final_dim: int = 0
    """Principal components of all modalities together; 0 has no final PCA."""
    whiten: bool = False
    """Whether the last principal components there are vary equally much."""
    contrastive_dim: int = 0
    """Bring an item's modalities together in a space of this size before they are fused; 0 leaves them be."""


@dataclass(frozen=True, slots=True)
class AlignSettings:
    """Content and training sequences to item embeddings in which items that follow one another are close."""

    dim: int = 64
    """Length of an item embedding; 0 leaves items where their content puts them."""
    window: int = 3
    """Items of a history that stand so many places apart count as neighbours."""
    prior_interactions: float = 20.0
    """An item used so often is placed half by what people did with it, half by its content."""
    content_weight: float = 0.5
    """Of the content itself beside what it says of behaviour: tells apart what is used alike."""


@dataclass(frozen=True, slots=True)
class QuantizeSettings:
    """Item embeddings to semantic ids."""

    num_codebooks: int = 4
    num_centroids: int = 256
    """At most; fewer where the catalogue is small."""
    min_items_per_centroid: int = 15
    """Codes that hardly any items share say nothing: small catalogues get the largest power of two that keeps this."""
    num_iterations: int = 25


@dataclass(frozen=True, slots=True)
class VocabularySettings:
    """Feature sets and training sequences to a vocabulary."""

    size: int = 0
    """Tokens in all, padding and end included; 0 takes every feature and `merges_per_item` rules for each item."""
    merges_per_item: float = 0.1
    """Rules for each item of the catalogue, at most 40,000 in all: many rules need many examples to pay."""
    max_sequences: int = 0
    """Learn from a seeded sample of this many sequences; 0 takes all."""


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """The T5's shape."""

    d_model: int = 64
    d_kv: int = 16
    d_ff: int = 256
    num_layers: int = 2
    num_heads: int = 4
    dropout_rate: float = 0.05


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the generator is trained."""

    softmax: str = "reachable"
    """`reachable` scores a token against those that can follow it in the catalogue, `vocabulary` against all tokens."""

    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.05
    label_smoothing: float = 0.0
    batch_size: int = 64
    max_epochs: int = 30
    examples_per_epoch: int = 0
    """Train on a fresh seeded sample of this many prefixes an epoch; 0 takes every prefix."""
    balance_users: bool = False
    """Whether each user counts the same, however long the history: as in the evaluation. Needs examples_per_epoch."""
    patience: int = 3
    """Stop after this many epochs without a better validation NDCG@10."""
    max_minutes: float = 0.0
    """Stop at the end of the epoch that passes this; 0 has no limit."""
    max_history_items: int = 10
    validation_users: int = 500


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """The dense head: all items scored at once from a history."""

    dim: int = 64
    """Length of an item's vector; 0 leaves out the dense head and all that ranks beside the generator."""
    num_layers: int = 2
    num_heads: int = 2
    dropout_rate: float = 0.3
    own_dropout: float = 0.3
    """Share of items that are trained as if they had been posted just now, drawn anew for each batch."""
    held_out_share: float = 0.1
    """Share of the items whose content teaches nothing: they show how well items posted later will be placed."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    positions_per_batch: int = 1500
    max_epochs: int = 14
    patience: int = 4
    """Stop after this many epochs without a better validation NDCG@10."""
    max_history_items: int = 50
    validation_users: int = 2000


@dataclass(frozen=True, slots=True)
class MixSettings:
    """How generator, dense head and counts of what goes with what are ranked together."""

    max_users: int = 8000
    """Validation users that the weights are fitted on; a seeded sample of more."""
    max_ease_items: int = 20_000
    """EASE inverts a matrix of items by items: larger catalogues go without."""
    ease_weights_per_item: int = 300
    """The strongest that are kept."""
    most_lost_to_new: float = 0.1
    """Of the other items' Recall@10, while `dense.held_out_share` of the items compete as if posted just now."""


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """How recommendations are made when they are measured."""

    num_views: int = 3
    num_beams: int = 50
    max_users: int = 0
    """Measure on a seeded sample of this many users; 0 takes all."""
    num_resamples: int = 1000
    """Bootstrap resamples over users behind each interval."""


@dataclass(frozen=True, slots=True)
class Preset:
    """All settings of one recipe; each stage reads its own part."""

    name: str
    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    encode: EncodeSettings = field(default_factory=EncodeSettings)
    fuse: FuseSettings = field(default_factory=FuseSettings)
    align: AlignSettings = field(default_factory=AlignSettings)
    quantize: QuantizeSettings = field(default_factory=QuantizeSettings)
    vocabulary: VocabularySettings = field(default_factory=VocabularySettings)
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    fit: FitSettings = field(default_factory=FitSettings)
    dense: DenseSettings = field(default_factory=DenseSettings)
    mix: MixSettings = field(default_factory=MixSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries, ready for JSON."""
        return dataclasses.asdict(self)


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
    if preset.dense.dim % preset.dense.num_heads:
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
