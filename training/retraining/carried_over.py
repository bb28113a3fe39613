"""Carry the serving bundle's settings and rules of interactions over to the next run, and list what differs.

Start at `next_preset`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clairo_core.bundle.manifest import BundleManifest
from clairo_core.errors import SettingsError
from clairo_core.events import InteractionRules
from training.config.load_preset import DEFAULT_PRESET, load_preset, overridden_preset, settings_of
from training.config.preset import Preset
from training.config.unread_settings import unread_overrides
from training.datasets import DESCRIPTION_NAME
from training.datasets.dataset_toml import read_description

OF_CODES = "dataset"
"""Settings of precomputed codes, which a service's tables do not hold."""


def next_preset(
    serving: BundleManifest, preset: str | None, overrides: Sequence[str], report: Callable[[str], None]
) -> Preset:
    """The preset of this name, else the serving bundle's settings; overrides apply to either.

    A setting that this release does not have, or not with this value, is reported and left out; overrides that change
    nothing are reported.

    Raises:
        SettingsError: the preset or an override is not allowed.
    """
    chosen = _chosen(serving, preset, overrides, report)
    for line in unread_overrides(chosen, overrides):
        report(line)
    return chosen


def _chosen(
    serving: BundleManifest, preset: str | None, overrides: Sequence[str], report: Callable[[str], None]
) -> Preset:
    if preset is not None:
        return load_preset(preset, overrides)
    source = f"bundle {serving.bundle_id}"
    sections = {
        name: _known(name, section, source, report)
        for name, section in serving.settings.items()
        if isinstance(section, Mapping) and name != OF_CODES
    }
    if not sections:
        report(f"{source} has no settings; preset {DEFAULT_PRESET} is taken")
        return load_preset(DEFAULT_PRESET, overrides)
    return overridden_preset(serving.preset, sections, overrides, source)


def next_rules(serving: BundleManifest, replaced_by: Path | None) -> InteractionRules:
    """The rules in a dataset's TOML, or its folder; None takes the serving bundle's.

    Raises:
        DatasetError: the TOML cannot be read.
    """
    if replaced_by is None:
        return serving.rules
    return read_description(replaced_by / DESCRIPTION_NAME if replaced_by.is_dir() else replaced_by).rules


def differences(serving: BundleManifest, settings: Mapping[str, Any], rules: InteractionRules) -> list[str]:
    """One line per setting or rule that differs from the serving bundle's, by its name in TOML."""
    before = _by_name(serving.settings) | _rules_by_name(serving.rules)
    after = _by_name(settings) | _rules_by_name(rules)
    return [
        f"{name}: {after.get(name, 'not set')} (serving bundle: {before.get(name, 'not set')})"
        for name in dict.fromkeys([*after, *before])
        if after.get(name) != before.get(name)
    ]


def _known(section: str, table: Mapping[str, Any], source: str, report: Callable[[str], None]) -> dict[str, Any]:
    known = {}
    for key, value in table.items():
        try:
            # Not `preset_from_sections`: a setting may go with others of the bundle, but not with the defaults.
            settings_of(section, {key: value}, source)
        except SettingsError as error:
            report(f"{error}; left out")
        else:
            known[key] = value
    return known


def _by_name(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as JSON, by dotted name."""
    values: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            values |= _by_name(value, f"{prefix}{name}.")
        else:
            values[f"{prefix}{name}"] = json.dumps(value)
    return values


def _rules_by_name(rules: InteractionRules) -> dict[str, str]:
    content = rules.as_dict()
    types = {
        one["name"]: {"counts": one["meaning"], "weight": one["weight"], "history": one["is_read"], "when": one["when"]}
        for one in content.pop("types")
    }
    # Their order counts: conditions are tried in it.
    order = {"events": json.dumps(list(types))} if types else {}
    return order | _by_name({"interactions": content, "events": types})
