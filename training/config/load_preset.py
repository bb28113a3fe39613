"""Turn a preset's TOML and `--set section.key=value` overrides into one frozen settings object per stage.

Start at `load_preset`.
"""

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from clairo_core.bundle.manifest import NUMBERED
from clairo_core.errors import SettingsError
from clairo_core.tokens.spelling import Spelling
from training.config.preset import DENSE_RERANKS, HASH, LAST, LATE, PARALLEL, RECURRENT, VQVAE, Preset, SplitSettings
from training.config.ranges import AllowedValues

DEFAULT_PRESET = "clairo"
PRESETS_FOLDER = Path(__file__).parents[1] / "presets"
_IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}


def load_preset(name_or_path: str, overrides: Sequence[str] = ()) -> Preset:
    """Read a preset by name (`clairo`) or from a TOML file, then apply `section.key=value` overrides in order.

    Raises:
        SettingsError: the preset does not exist, or a section, key, type or value is not allowed.
    """
    path, source = Path(name_or_path), name_or_path
    if path.suffix != ".toml":
        path, source = PRESETS_FOLDER / f"{name_or_path}.toml", f"preset {name_or_path}"
        if not path.is_file():
            known = [preset.stem for preset in PRESETS_FOLDER.glob("*.toml")]
            raise SettingsError(
                f"preset {name_or_path!r} does not exist and is no .toml file; {nearest(name_or_path, known)}"
            )
    if not path.is_file():
        raise SettingsError(f"no file {path}; check the path, or name a preset that clairo-train presets lists")
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML ({error}); clairo-train presets clairo prints the form") from error
    return overridden_preset(path.stem, sections, overrides, source)


def overridden_preset(name: str, sections: dict[str, Any], overrides: Sequence[str], source: str) -> Preset:
    """Apply `section.key=value` overrides in order, then build the preset.

    Raises:
        SettingsError: a section, key, type or value is not allowed.
    """
    for override in overrides:
        section, key, value = parse_override(override)
        table = sections.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"--set {override}: {section} is a plain value in {source}; write it as [{section}]")
        table[key] = value
    return preset_from_sections(name, sections, f"{source} with --set" if overrides else source)


def parse_override(override: str) -> tuple[str, str, object]:
    """Split `section.key=value`; the value is parsed as TOML, or kept as a string if it is not TOML.

    >>> parse_override("fit.max_epochs=3")
    ('fit', 'max_epochs', 3)
    >>> parse_override("encode.modalities=text,image")
    ('encode', 'modalities', 'text,image')
    """
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot or not section or not key:
        raise SettingsError(f"--set {override!r}: expected section.key=value, such as parallel.max_epochs=5")
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return section, key, value


def preset_from_sections(name: str, sections: dict[str, Any], source: str) -> Preset:
    """Build the settings objects.

    Raises:
        SettingsError: a section or key is unknown, or a value has the wrong type or is out of range.
    """
    parts = {section: settings_of(section, table, source) for section, table in sections.items()}
    preset = Preset(name=name, **parts)
    check_together(preset)
    return preset


def settings_of(section: str, table: object, source: str) -> Any:
    """The settings object of one section; not checked together with other settings.

    Raises:
        SettingsError: the section or a key is unknown, or a value has the wrong type or is out of range.
    """
    types = {section: kind for section, kind in get_type_hints(Preset).items() if section != "name"}
    if section not in types:
        raise SettingsError(f"{source}: unknown section {section!r}; {nearest(section, types)}")
    if not isinstance(table, dict):
        raise SettingsError(f"{source}: {section} is {table!r}; expected a section, written as [{section}]")
    hints = get_type_hints(types[section], include_extras=True)
    values = {}
    for key, value in table.items():
        if key not in hints:
            raise SettingsError(f"{source}: unknown setting {section}.{key}; {nearest(key, hints)}")
        values[key] = checked(value, hints[key], f"{source}: {section}.{key}")
    return types[section](**values)


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name closest to `name`, or list them all."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"


def checked(value: object, hint: Any, where: str) -> object:
    """`value` as the type of `hint`, inside its range.

    Raises:
        SettingsError: another type, or out of range.
    """
    kind, allowed = type_and_range(hint)
    typed = coerced(value, kind, where)
    if allowed is not None and typed not in allowed:
        raise SettingsError(f"{where} is {value!r}; expected {allowed}")
    return typed


def type_and_range(hint: Any) -> tuple[Any, AllowedValues | None]:
    """Split `Annotated[int, AtLeast(1)]`; a plain type, such as bool, has no range."""
    if get_origin(hint) is Annotated:
        kind, allowed = get_args(hint)
        return kind, allowed
    return hint, None


def coerced(value: object, kind: Any, where: str) -> object:
    """`value` as `kind`; an integer is also a float, and a comma-separated string is also a list."""
    if get_origin(kind) is tuple:
        parts = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        element = get_args(kind)[0]
        if not isinstance(parts, (list, tuple)) or not all(isinstance(part, element) for part in parts):
            raise SettingsError(f"{where} is {value!r}; expected a list, each {_IN_WORDS[element]}")
        return tuple(parts)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise SettingsError(f"{where} is {value!r}; expected {_IN_WORDS[kind]}")
    return value


def check_together(preset: Preset) -> None:
    """Check settings whose range depends on another setting.

    Raises:
        SettingsError: `dense.dim` or `parallel.width` cannot be split between heads, `fuse.final_dim` would mix
            late-fused modalities, they cannot share the codebooks equally, a VQ-VAE has several codebooks, the
            diversity loss has no gradient to act on, features would merge although they keep their order, a spelling
            needs codes by modality that there are not, hash buckets would tell items apart in languages, there is no
            dense head that could rerank, the generator would read content that it cannot, or a horizon is set but not
            held out.
    """
    dense, fuse, quantize, autoencoder = preset.dense, preset.fuse, preset.quantize, preset.autoencoder
    vocabulary, parallel = preset.vocabulary, preset.parallel
    if quantize.kind == VQVAE and quantize.num_codebooks != 1:
        raise SettingsError(
            f"quantize.num_codebooks is {quantize.num_codebooks}; expected 1 with quantize.kind=vqvae, or choose rqvae"
        )
    if autoencoder.diversity_weight and autoencoder.ema_decay:
        raise SettingsError(
            f"autoencoder.ema_decay is {autoencoder.ema_decay}; expected 0, as autoencoder.diversity_weight acts on "
            "centroids that are trained by gradient"
        )
    if vocabulary.spelling == Spelling.LANGUAGES and quantize.collision == HASH:
        raise SettingsError(
            "quantize.collision is hash; expected index with vocabulary.spelling=languages, as random buckets may be "
            "equal in one of them"
        )
    if vocabulary.spelling != Spelling.SHUFFLED and (vocabulary.size or vocabulary.merges_per_item):
        raise SettingsError(
            f"vocabulary.spelling is {vocabulary.spelling}, which merges nothing; expected vocabulary.size=0 and "
            "vocabulary.merges_per_item=0"
        )
    if fuse.scheme == LATE and fuse.final_dim:
        raise SettingsError(f"fuse.final_dim is {fuse.final_dim}; expected 0, as fuse.scheme=late mixes no modalities")
    if dense.encoder != RECURRENT and dense.dim % dense.num_heads:
        raise SettingsError(f"dense.dim is {dense.dim}; expected a multiple of dense.num_heads, {dense.num_heads}")
    # A checkpoint of either reader has both, and is loaded if they go together.
    if parallel.width % parallel.num_heads:
        raise SettingsError(
            f"parallel.width is {parallel.width}; expected a multiple of parallel.num_heads, {parallel.num_heads}"
        )
    if preset.mix.kind == DENSE_RERANKS and not dense.dim:
        raise SettingsError("dense.dim is 0; expected at least 1, as mix.kind=dense_reranks ranks by the dense head")
    _check_split(preset.split)
    _check_modalities(preset)
    if preset.generator.reads_content:
        _check_content_reader(preset)


def _check_content_reader(preset: Preset) -> None:
    quantize, vocabulary = preset.quantize, preset.vocabulary
    way_out = "with generator.reads_content=true, which adds an item's embedding to each of its tokens"
    if preset.generator.kind == PARALLEL:
        raise SettingsError(f"generator.kind is {PARALLEL}; expected token {way_out}")
    if quantize.kind in NUMBERED:
        raise SettingsError(f"quantize.kind is {quantize.kind}; expected a kind that reads content {way_out}")
    if vocabulary.size or vocabulary.merges_per_item:
        raise SettingsError(
            f"vocabulary.size is {vocabulary.size} and vocabulary.merges_per_item {vocabulary.merges_per_item:g}; "
            f"expected 0 for both {way_out}"
        )
    if vocabulary.spelling == Spelling.LANGUAGES:
        raise SettingsError(f"vocabulary.spelling is languages; expected another one {way_out}")


def _check_split(split: SplitSettings) -> None:
    plain = SplitSettings()
    for name in ("horizon_days", "horizon_share"):
        value, default = getattr(split, name), getattr(plain, name)
        if split.kind == LAST and value != default:
            raise SettingsError(
                f"split.{name} is {value:g}, but split.kind=last holds out no horizon; set split.kind=time, or leave "
                f"split.{name} at {default:g}"
            )


def _check_modalities(preset: Preset) -> None:
    quantize, modalities, spelling = preset.quantize, preset.encode.modalities, preset.vocabulary.spelling
    is_late, listed = preset.fuse.scheme == LATE, ", ".join(modalities)
    if is_late and quantize.kind == VQVAE and len(modalities) > 1:
        raise SettingsError(
            "quantize.kind is vqvae, which has one codebook; expected rqvae with fuse.scheme=late, as each modality "
            "has codebooks of its own"
        )
    if is_late and quantize.num_codebooks % len(modalities):
        raise SettingsError(
            f"quantize.num_codebooks is {quantize.num_codebooks}; expected a multiple of {len(modalities)}, as "
            f"fuse.scheme=late gives each of encode.modalities, {listed}, the same number"
        )
    if spelling not in (Spelling.MARKED, Spelling.LANGUAGES):
        return
    way_out = f"with vocabulary.spelling={spelling}, which needs codes by modality; else set it to ordered"
    if len(modalities) < 2:
        raise SettingsError(f"encode.modalities is {listed}; expected two or more {way_out}")
    if not is_late:
        raise SettingsError(f"fuse.scheme is {preset.fuse.scheme}; expected late {way_out}")
