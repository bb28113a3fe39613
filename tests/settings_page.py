"""Turn the fields of the service's `Settings` into docs/settings.md."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from service.settings import ENVIRONMENT_PREFIX, StoreSettings

HEAD = """\
# Settings

An unknown `CLAIRO_*` name and a value out of range are errors, before anything is loaded. The rest is checked by

```sh
clairo-serve doctor --bundle bundles/demo
```

## Flags

Of `clairo-serve run`, each also a variable; the flag counts where both are set.

"""
VARIABLES = "\n## Variables alone\n\n"
COLUMNS = "| name | default | |\n|---|---|---|\n"
FOOT = "\nThis page is written from `service/settings.py` by `make pages`.\n"


def settings_page(fields: Mapping[str, FieldInfo], flags: Collection[str]) -> str:
    """The page: a row per setting, in the order of the classes, the store's last; first those that are `flags` too."""
    ordered = sorted(fields.items(), key=lambda setting: setting[0] in StoreSettings.model_fields)
    of_flags = [_row(name, field, is_flag=True) for name, field in ordered if _flag(name) in flags]
    others = [_row(name, field, is_flag=False) for name, field in ordered if _flag(name) not in flags]
    return "".join([HEAD, COLUMNS, *of_flags, VARIABLES, COLUMNS, *others, FOOT])


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _row(name: str, field: FieldInfo, *, is_flag: bool) -> str:
    described = f"{field.description or ''} {_range(field.metadata)}".strip()
    names = f"`{_flag(name)}` " * is_flag + f"`{ENVIRONMENT_PREFIX}{name.upper()}`"
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in (names, _default(field), described))} |\n"


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
