"""Export a service's items and feedback as the tables that training reads.

`clairo-serve export` runs as a subprocess, because training must not import the service.
"""

import json
import os
import subprocess
import sys
from array import array
from collections.abc import Container
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from clairo_core.errors import DatasetError
from clairo_core.events import InteractionRules
from clairo_core.storage.replaced_file import replace_text

EXPORT = ("-m", "service.cli", "export")
DATABASE_VARIABLE = "CLAIRO_DATABASE_URL"
INTERACTIONS_FILE = "interactions.jsonl"
RETIRED_FILE = "retired.json"
NO_RULES = InteractionRules()
UNTYPED = "interaction"


def write_service_tables(
    folder: Path, serving: Path, database: str | None, since: str | None, rules: InteractionRules | None = None
) -> str:
    """Write the tables into `folder`, replacing earlier ones. Returns the command's summary.

    Args:
        folder: for the tables; its name becomes the dataset's.
        serving: the serving bundle; its items come first.
        database: as in `clairo-serve run --database-url`; None takes it from the environment (CLAIRO_...).
        since: only feedback from then on, as in `clairo-serve export --since`.
        rules: in place of the serving bundle's, which would leave out events of types that it does not declare.

    Raises:
        DatasetError: the command failed; the text includes its last line.
    """
    command = [sys.executable, *EXPORT, "--out", str(folder), "--bundle", str(serving)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    if since is not None:
        command += ["--since", since]
    if rules is not None:
        rules_file = folder.with_name(f"{folder.name}.rules.json")
        replace_text(rules_file, json.dumps(rules.as_dict()))
        command += ["--rules", str(rules_file)]
    # Not a flag: the URL may contain a password, and every user of a machine can list flags.
    environment = dict(os.environ) if database is None else os.environ | {DATABASE_VARIABLE: database}
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


def service_name(database: str | None) -> str:
    """Which service's data `write_service_tables` reads, without user and password."""
    url = urlsplit(os.environ.get(DATABASE_VARIABLE, "") if database is None else database)
    address = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    return " ".join([address, os.environ.get("CLAIRO_DATA_DIR", ""), os.environ.get("CLAIRO_NAMESPACE", "")]).rstrip()


def retired_items(folder: Path) -> list[str]:
    """The ids of the items in these tables that the service does not recommend any more."""
    item_ids: list[str] = json.loads((folder / RETIRED_FILE).read_text(encoding="utf-8"))
    return item_ids


def newest_discoveries(folder: Path, item_ids: Container[str], rules: InteractionRules = NO_RULES) -> dict[str, float]:
    """User id -> when he first interacted with the item that he met last, in seconds since 1970.

    Of these items alone, by target events, without items that the user dislikes. A later repeat of an item is no
    discovery.
    """
    user_rows: dict[str, int] = {}
    item_rows: dict[str, int] = {}
    users, items, times = array("q"), array("q"), array("d")
    decided: dict[tuple[int, int], tuple[float, bool]] = {}
    """User and item -> time of the newest event that dislikes the item or lifts that, and whether it dislikes."""
    with (folder / INTERACTIONS_FILE).open(encoding="utf-8") as lines:
        for event in map(json.loads, lines):
            name = rules.type_of(event.get("type", UNTYPED), event.get(rules.value_column or "value"))
            if name is None or event["item_id"] not in item_ids:
                continue
            user = user_rows.setdefault(event["user_id"], len(user_rows))
            item = item_rows.setdefault(event["item_id"], len(item_rows))
            at, is_dislike = float(event["timestamp"]), rules.of(name).meaning == "negative"
            if (is_dislike or rules.lifts_dislike(name)) and at >= decided.get((user, item), (-np.inf, False))[0]:
                decided[user, item] = (at, is_dislike)
            if rules.is_target(name):
                users.append(user)
                items.append(item)
                times.append(at)
    by_time = np.argsort(np.asarray(times), kind="stable")
    num_items = max(1, len(item_rows))
    pairs = np.asarray(users)[by_time] * num_items + np.asarray(items)[by_time]
    disliked = [user * num_items + item for (user, item), (_, is_dislike) in decided.items() if is_dislike]
    first = np.unique(pairs, return_index=True)[1]
    first = by_time[first[~np.isin(pairs[first], disliked)]]
    newest = np.full(len(user_rows), -np.inf)
    np.maximum.at(newest, np.asarray(users)[first], np.asarray(times)[first])
    return {user_id: at for user_id, at in zip(user_rows, newest.tolist(), strict=True) if at > -np.inf}
