"""`clairo-train`. Start at `commands`."""

from training.cli.commands import app, main
from training.cli.messages import run_command

__all__ = ["app", "main", "run_command"]
