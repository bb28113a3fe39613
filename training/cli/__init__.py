"""`clairo-train`. Start at `commands`."""

import sys

from clairo_core.errors import missing_extra

try:
    from training.cli.commands import app, main
    from training.cli.messages import run_command
except ModuleNotFoundError as error:
    # Such as typer, where only clairo[client] is installed.
    if reason := missing_extra("clairo-train", "train", error):
        sys.exit(reason)
    raise

__all__ = ["app", "main", "run_command"]
