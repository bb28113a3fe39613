"""Turn the fields of the service's `Settings` into docs/settings.md."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from service.settings import ENVIRONMENT_PREFIX

HEAD = """\
# Settings

Each is a flag of `clairo-serve run` and an environment variable; the flag counts where both are set. An unknown
`CLAIRO_*` name and a value out of range are errors, before anything is loaded. `clairo-serve doctor` checks the rest.

```sh
clairo-serve doctor --bundle bundles/demo
```

| flag | variable | default | |
|---|---|---|---|
"""
FOOT = "\nThis page is written from `service/settings.py` by `make pages`.\n"


def settings_page(fields: Mapping[str, FieldInfo]) -> str:
    """The page: a row per setting, in the order of the class, those of the store last."""
    of_store = ("data_dir", "database_url", "namespace")
    ordered = sorted(fields.items(), key=lambda field: field[0] in of_store)
    return HEAD + "".join(_row(name, field) for name, field in ordered) + FOOT


def _row(name: str, field: FieldInfo) -> str:
    described = f"{field.description or ''} {_range(field.metadata)}".strip()
    cells = [f"`--{name.replace('_', '-')}`", f"`{ENVIRONMENT_PREFIX}{name.upper()}`", _default(field), described]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default in (None, ""):
        return "none"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _range(limits: list[Any]) -> str:
    """The numbers that a setting may have, if it is limited on both sides."""
    found = dict(re.findall(r"(ge|gt|le|lt)=([-\d.]+)", repr(limits)))
    low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
    if low is None or high is None:
        return ""
    return f"{'Above ' if 'gt' in found else ''}{_number(low)} to {_number(high)}."


def _number(text: str) -> str:
    return f"{float(text):,.0f}" if float(text).is_integer() else text
