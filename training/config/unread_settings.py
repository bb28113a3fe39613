"""Name the overrides that change nothing, as they are of another kind of generator or quantizer.

Start at `unread_overrides`.
"""

from collections.abc import Sequence

from training.config.load_preset import parse_override
from training.config.preset import PARALLEL, RQVAE, VQVAE, Preset

_ALWAYS_READ = frozenset({"fit.max_user_examples", "generator.kind", "generator.reads_content"})


def unread_overrides(preset: Preset, overrides: Sequence[str]) -> list[str]:
    """One line per override that no stage of the preset reads, with the reason.

    >>> unread_overrides(Preset(name="mine"), ["fit.max_epochs=2", "parallel.max_epochs=2"])
    ['--set parallel.max_epochs=2 changes nothing: generator.kind is token, which reads generator.* and fit.*']
    """
    reasons, lines = _reasons(preset), []
    for override in overrides:
        section, key, _ = parse_override(override)
        if section in reasons and f"{section}.{key}" not in _ALWAYS_READ:
            lines.append(f"--set {override} changes nothing: {reasons[section]}")
    return lines


def _reasons(preset: Preset) -> dict[str, str]:
    """Sections that no stage reads, and why."""
    kind, quantizer = preset.generator.kind, preset.quantize.kind
    if kind == PARALLEL:
        reasons = dict.fromkeys(("fit", "generator"), f"generator.kind is {kind}, which reads parallel.*")
    else:
        reasons = {"parallel": f"generator.kind is {kind}, which reads generator.* and fit.*"}
    if quantizer not in (RQVAE, VQVAE):
        reasons["autoencoder"] = f"quantize.kind is {quantizer}, which trains no network"
    return reasons
