"""Export a service's items and feedback as the tables that training reads.

`clairo-serve export` runs as a subprocess, because training must not import the service.
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
    """Write the tables into `folder`, replacing earlier ones. Returns the command's summary.

    Args:
        folder: for the tables; its name becomes the dataset's.
        serving: the serving bundle; its items come first.
        database: as in `clairo-serve run --database-url`; None takes it from the environment (CLAIRO_...).
        since: only feedback from then on, as in `clairo-serve export --since`.

    Raises:
        DatasetError: the command failed; the text includes its last line.
    """
    command = [sys.executable, *EXPORT, "--out", str(folder), "--bundle", str(serving)]
    if since is not None:
        command += ["--since", since]
    # Not a flag: the URL may contain a password, and every user of a machine can list flags.
    environment = dict(os.environ) if database is None else os.environ | {DATABASE_VARIABLE: database}
    folder.parent.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(  # noqa: S603 - our own program, no shell
        command, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        last_line = (ended.stderr.strip().splitlines() or ["no output"])[-1]
        raise DatasetError(
            f"the service's tables cannot be exported: {last_line} (exit code {ended.returncode}); name the database "
            "with --service-database, and install clairo[serve] beside clairo[train]"
        )
    return ended.stdout.strip().split(";")[0]


def newest_timestamps(folder: Path, item_ids: Container[str]) -> dict[str, float]:
    """User id -> time of the newest interaction with any of these items, in seconds since 1970."""
    newest: dict[str, float] = {}
    with (folder / INTERACTIONS_FILE).open(encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event["item_id"] in item_ids:
                user_id, timestamp = event["user_id"], float(event["timestamp"])
                newest[user_id] = max(timestamp, newest.get(user_id, timestamp))
    return newest
