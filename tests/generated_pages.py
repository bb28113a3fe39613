"""Write the pages of docs/ that follow from the code. Run as `make pages`."""

from collections.abc import Callable

import typer

from service.cli.commands import app
from service.settings import Settings
from tests.api_page import api_page
from tests.client_answers import openapi_document
from tests.presets_page import presets_page
from tests.repository import REPOSITORY
from tests.settings_page import settings_page
from training.config.list_presets import known_presets

DOCS = REPOSITORY / "docs"
PAGES: dict[str, Callable[[], str]] = {
    "api.md": lambda: api_page(openapi_document()),
    "presets.md": lambda: presets_page(known_presets()),
    "settings.md": lambda: settings_page(Settings.model_fields, flags_of_run()),
}


def flags_of_run() -> list[str]:
    """Of `clairo-serve run`: not every setting has one."""
    commands = vars(typer.main.get_command(app))["commands"]
    return [flag for parameter in commands["run"].params for flag in parameter.opts]


if __name__ == "__main__":
    for name, written in PAGES.items():
        (DOCS / name).write_text(written(), encoding="utf-8")
