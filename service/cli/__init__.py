"""`clairo-serve` and its processes. Start at `commands`."""

import sys

from clairo_core.errors import missing_extra

try:
    from service.cli.commands import main
except ModuleNotFoundError as error:
    # Such as typer, where only clairo[client] is installed.
    if reason := missing_extra("clairo-serve", "serve", error):
        sys.exit(reason)
    raise

__all__ = ["main"]
