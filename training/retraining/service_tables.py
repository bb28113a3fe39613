"""Get a service's items and feedback as the tables that training reads.

They are written by `clairo-serve export`, run as a program: the service alone knows its database. Knows that command's
flags and the interactions' file; knows nothing of databases.
"""

import json
import os
import subprocess
import sys
from collections.abc import Container
from pathlib import Path

from clairo_core.errors import DatasetError

EXPORT = ("-m", "service.cli", "export")
DATABASE_VARIABLE = "CLAIRO_DATABASE_URL"
INTERACTIONS_FILE = "interactions.jsonl"


def write_service_tables(folder: Path, serving: Path, database: str | None, since: str | None) -> str:
    """Write the tables into `folder`, in place of earlier ones; what was written, in words.

    Args:
        folder: for the tables; its name becomes the dataset's.
        serving: the bundle that the service serves; its items come first.
        database: as of `clairo-serve run --database-url`; None leaves it to the environment (CLAIRO_...).
        since: take feedback from then on alone, as `clairo-serve export --since` reads it.

    Raises:
        DatasetError: the command failed; the text is its own.
    """
    command = [sys.executable, *EXPORT, "--out", str(folder), "--bundle", str(serving)]
    if since is not None:
        command += ["--since", since]
    # Not as a flag: it may hold a password, and everybody on a machine can list flags.
    environment = dict(os.environ) if database is None else os.environ | {DATABASE_VARIABLE: database}
    folder.parent.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(  # noqa: S603 - our own program, and no shell
        command, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise DatasetError(
            f"the service's tables cannot be written: {said} (exit code {ended.returncode}); say with "
            "--service-database which database it is, and install clairo[serve] beside clairo[train]"
        )
    return ended.stdout.strip().split(";")[0]


def newest_timestamps(folder: Path, item_ids: Container[str]) -> dict[str, float]:
    """User -> when their newest interaction with one of these items was, in seconds since 1970."""
    newest: dict[str, float] = {}
    with (folder / INTERACTIONS_FILE).open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event["item_id"] in item_ids:
                user_id, timestamp = event["user_id"], float(event["timestamp"])
                newest[user_id] = max(timestamp, newest.get(user_id, timestamp))
    return newest
